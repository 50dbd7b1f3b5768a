//! What `check` finds outside the configuration's text.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::Environment;

/// A trial's folder with a configuration in it.
struct Trial {
    dir: tempfile::TempDir,
}

impl Trial {
    fn new(text: &str) -> Trial {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().display().to_string();
        let text = format!(
            "state_dir = \"{here}/state\"\n{}",
            text.replace("HERE", &here)
        );
        fs::write(dir.path().join("tillsync.toml"), text).unwrap();
        Trial { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// All findings, rendered, with the trial's folder masked.
    fn found(&self) -> String {
        let environment = Environment::default();
        let mut survey = config::survey(Some(&self.path("tillsync.toml")), &environment);
        // Its own name, which the empty environment has none for.
        survey
            .problems
            .0
            .retain(|problem| !problem.message.contains("`store`"));
        let mut findings = configuration(&survey);
        findings.extend(surroundings(&survey, &Surroundings::default(), &Eyes::Root));
        let mut out = String::new();
        for finding in findings {
            match finding {
                Finding::Ok(line) => out.push_str(&format!("ok  {line}\n")),
                Finding::Problem(problem) => out.push_str(&problem.render(false)),
            }
        }
        out.replace(&self.dir.path().display().to_string(), "HERE")
    }
}

#[track_caller]
fn has(found: &str, part: &str) {
    assert!(found.contains(part), "no {part:?} in:\n{found}");
}

const FOLDER: &str = "[[folder]]\npath = \"HERE/drop\"\nkind = \"customers\"\n";

#[test]
fn a_sound_folder_says_how_it_is_watched() {
    let trial = Trial::new(FOLDER);
    fs::create_dir(trial.path("drop")).unwrap();
    let found = trial.found();
    has(&found, "ok  configuration (HERE/tillsync.toml): 1 folder\n");
    has(&found, "ok  folder drop (HERE/drop): watched by events, ");
    has(&found, "ok  store (HERE/state): will be made, ");
    has(&found, "ok  page: http://127.0.0.1:8787/\n");
    has(&found, "error: no credentials are set");
    has(&found, "warning: nobody would be alerted");
}

#[test]
fn a_missing_folder_is_shown_where_it_is_configured() {
    let found = Trial::new(FOLDER).found();
    has(
        &found,
        "error: HERE/tillsync.toml:3:8: folder drop (HERE/drop): does not exist\n",
    );
    has(&found, "`tillsync init` makes the folders");
}

#[test]
fn all_problems_are_told_in_one_run() {
    let text = format!(
        "{FOLDER}setle = \"2s\"\n[local]\npassword_file = \"HERE/none\"\n[alert]\ncommand = [\"/no/such\"]\n"
    );
    let found = Trial::new(&text).found();
    for part in [
        "unknown key `setle`",
        "folder drop (HERE/drop): does not exist",
        "HERE/none: does not exist",
        "/no/such: cannot be run",
        "no credentials are set",
    ] {
        has(&found, part);
    }
}

#[test]
fn a_file_where_a_folder_should_be_is_said() {
    let trial = Trial::new(FOLDER);
    fs::write(trial.path("drop"), "").unwrap();
    has(&trial.found(), "folder drop (HERE/drop): is not a folder");

    let trial = Trial::new(FOLDER);
    fs::create_dir(trial.path("drop")).unwrap();
    fs::write(trial.path("drop/archive"), "").unwrap();
    has(&trial.found(), "HERE/drop/archive: is not a folder");

    let trial = Trial::new("");
    fs::write(trial.path("state"), "").unwrap();
    has(
        &trial.found(),
        "store (HERE/state): HERE/state is not a folder",
    );
    has(&trial.found(), "no folder is configured");
}

#[test]
fn a_password_that_others_can_read_is_refused() {
    let trial = Trial::new("[local]\nlisten = \"0.0.0.0:8787\"\npassword_file = \"HERE/page\"\n");
    fs::write(trial.path("page"), "pw-canary").unwrap();
    fs::set_permissions(trial.path("page"), fs::Permissions::from_mode(0o644)).unwrap();
    let found = trial.found();
    has(&found, "HERE/page: others can read this file");
    has(
        &found,
        "warning: HERE/tillsync.toml:3:10: the page can be seen from other hosts",
    );
    assert!(!found.contains("pw-canary"));
}

#[test]
fn a_share_that_allows_no_call_is_an_error() {
    let mut config = Config::with_defaults("s", Path::new("/s"));
    config.api.stores = 200;
    assert!(share(&config, None).is_none());
    let found = share(&config, Some(399)).unwrap();
    assert!(
        matches!(&found, Finding::Problem(p) if p.severity == Severity::Error),
        "{found:?}"
    );
    let found = share(&config, Some(400)).unwrap();
    assert!(
        matches!(&found, Finding::Ok(line) if line == "share: 1 of the plan's 400 calls"),
        "{found:?}"
    );
    config.api.stores = 1_001;
    let found = share(&config, None).unwrap();
    assert!(
        matches!(&found, Finding::Problem(p) if p.severity == Severity::Error),
        "{found:?}"
    );
}

#[test]
fn a_preset_has_to_be_known_and_of_the_kind() {
    let known = [
        KnownPreset {
            name: "shopify-customers".to_owned(),
            kinds: vec![Kind::Customers],
            is_split: false,
        },
        KnownPreset {
            name: "shopify-orders".to_owned(),
            kinds: vec![Kind::Orders],
            is_split: false,
        },
    ];
    for (name, hint) in [
        ("auto", None),
        ("shopify-customers", None),
        (
            "shopify-customer",
            Some("did you mean \"shopify-customers\"?"),
        ),
        (
            "shopify-orders",
            Some("correct one of them, or write \"auto\""),
        ),
        ("x", Some("`tillsync presets` lists them")),
    ] {
        let mut config = Config::with_defaults("s", Path::new("/s"));
        let mut folder = config::Folder::with_defaults("f", Path::new("/f"), Kind::Customers);
        folder.preset = name.to_owned();
        config.folders.push(folder);
        let found = presets(&config, &Places::default(), &known);
        let hints: Vec<&str> = found
            .iter()
            .map(|finding| match finding {
                Finding::Problem(problem) => problem.hint.as_deref().unwrap_or_default(),
                Finding::Ok(line) => line,
            })
            .collect();
        assert_eq!(hints, hint.into_iter().collect::<Vec<&str>>(), "{name}");
    }
}

#[test]
fn a_format_that_comes_in_parts_is_no_full_list() {
    let known = [KnownPreset {
        name: "parts".to_owned(),
        kinds: vec![Kind::Customers],
        is_split: true,
    }];
    let mut config = Config::with_defaults("s", Path::new("/s"));
    let mut folder = config::Folder::with_defaults("f", Path::new("/f"), Kind::Customers);
    folder.preset = "parts".to_owned();
    config.folders.push(folder);
    assert!(presets(&config, &Places::default(), &known).is_empty());
    config.folders[0].missing = Missing::Delete;
    assert_eq!(presets(&config, &Places::default(), &known).len(), 1);
}

#[test]
fn a_database_that_cannot_be_opened_is_said() {
    let trial = Trial::new("");
    fs::create_dir(trial.path("state")).unwrap();
    assert!(check_database(&trial.path("state")).is_empty());
    fs::write(trial.path("state/tillsync.db"), [0xA5; 40_000]).unwrap();
    has(&trial.found(), "error: database: ");
}
