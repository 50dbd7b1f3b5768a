use super::view::{Downloads, page};
use crate::status::Status;
use crate::status::example::{self, NOW, paris};

/// With `TILLSYNC_PICTURES=<dir>` each state's page is written there, for a browser to look at.
#[test]
fn every_state_has_its_page() {
    let samples = example::samples();
    for (name, facts) in example::all() {
        let status = Status::new(facts, NOW, &paris());
        let samples = if name == "fresh" { &[][..] } else { &samples };
        let html = page(&status, samples, Downloads::Closed, &paris()).into_string();
        assert!(html.contains("<h1>"), "{name}");
        if let Some(dir) = std::env::var_os("TILLSYNC_PICTURES") {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(std::path::Path::new(&dir).join(format!("{name}.html")), html).unwrap();
        }
    }
}
