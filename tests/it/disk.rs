//! A disk that is full, whose quota is used up, or that fails: nothing is lost, the daemon stays where
//! waiting helps, and says what is wrong.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::mount::Mount;
use crate::shop::{Running, Shop, wait, wait_for};

const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;
const EIO: i32 = 5;

/// The program with a library before the system's that lets calls fail (`tests/support/fault.c`).
struct Faulty<'s> {
    shop: &'s Shop,
    library: PathBuf,
}

impl<'s> Faulty<'s> {
    fn new(shop: &'s Shop) -> Faulty<'s> {
        let library = shop.path("fault.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/fault.c");
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl")
            .status();
        assert!(made.unwrap().success());
        Faulty { shop, library }
    }

    fn orders(&self) -> PathBuf {
        self.shop.path("orders-of-faults")
    }

    /// From now on these calls fail, and no others.
    fn fail(&self, orders: &[(&str, &str, i32)]) {
        let lines = orders
            .iter()
            .map(|(call, part, errno)| format!("{call} {part} {errno}\n"));
        let new = self.shop.path("orders-of-faults.new");
        fs::write(&new, lines.collect::<String>()).unwrap();
        fs::rename(new, self.orders()).unwrap();
    }

    fn heal(&self) {
        fs::remove_file(self.orders()).unwrap();
    }

    fn daemon(&self) -> Running {
        let mut command = self.shop.command(&["run"]);
        command
            .env("LD_PRELOAD", &self.library)
            .env("TILLSYNC_FAULT", self.orders());
        self.shop.start(&mut command)
    }
}

fn log(shop: &Shop) -> String {
    fs::read_to_string(shop.path("daemon.log")).unwrap_or_default()
}

fn away(shop: &Shop) {
    shop.standin.post(
        "/_standin/faults",
        r#"{"faults":[{"always":true,"then":"reset"}]}"#,
    );
}

/// The remote is there again, and the daemon looks.
fn back(shop: &Shop) {
    shop.standin.post("/_standin/faults", "{}");
    fs::write(shop.path("state/wake"), b"").unwrap();
}

fn customers(from: usize, many: usize) -> String {
    let rows = (from..from + many).map(|n| format!("c-{n},Name {n}\n"));
    format!("source_id,name\n{}", rows.collect::<String>())
}

fn pending(shop: &Shop) -> u64 {
    shop.json(&["status"])["pending"]["customers"]
        .as_u64()
        .unwrap()
}

fn lives(daemon: &mut Running) {
    let ended = daemon.child.try_wait().unwrap();
    assert!(ended.is_none(), "the daemon stays: {ended:?}");
}

/// Takes what is free on a disk but for a MiB. It stops there: what the daemon lets go meanwhile is the
/// daemon's.
fn fill(path: &Path) {
    let stat = rustix::fs::statvfs(path.parent().unwrap()).unwrap();
    let free = stat.f_bavail * stat.f_frsize;
    let mut file = fs::File::create(path).unwrap();
    for _ in 1..free >> 20 {
        file.write_all(&vec![b'x'; 1 << 20]).unwrap();
    }
}

#[test]
fn on_a_full_disk_answers_are_still_recorded_and_files_wait() {
    let shop = Shop::new();
    let state = shop.path("state");
    let Some(mount) = Mount::small(&state, "64m") else {
        return;
    };
    shop.set_min_free("0");
    away(&shop);
    let mut daemon = shop.daemon();
    let ballast = state.join("ballast");
    let is_kept = || fs::metadata(&ballast).is_ok_and(|file| file.len() == 16 << 20);
    wait("room is kept", || is_kept().then_some(()));
    shop.drop_in("customers", "first.csv", &customers(0, 500));
    wait("it is stored", || (pending(&shop) == 500).then_some(()));
    fill(&state.join("filler"));
    back(&shop);
    wait("the answers are recorded", || {
        (pending(&shop) == 0).then_some(())
    });
    assert_eq!(shop.standin.holds("customers").len(), 500);
    assert!(!ballast.exists(), "what was kept is used");
    shop.drop_in("customers", "second.csv", &customers(500, 1));
    wait("it is said", || {
        let todo = shop.json(&["todo"]);
        (todo[0]["kind"] == "disk").then_some(())
    });
    assert!(shop.path("customers/second.csv").exists(), "the file waits");
    lives(&mut daemon);
    fs::remove_file(state.join("filler")).unwrap();
    wait_for(
        Duration::from_secs(60),
        "it goes on once there is room",
        || (shop.standin.holds("customers").len() == 501).then_some(()),
    );
    assert!(is_kept());
    lives(&mut daemon);
    drop(daemon);
    drop(mount);
}

/// Nothing can be written, and the disk itself has room.
#[track_caller]
fn check_no_room(errno: i32) {
    let shop = Shop::new();
    let faulty = Faulty::new(&shop);
    shop.set_min_free("0");
    away(&shop);
    let mut daemon = faulty.daemon();
    shop.drop_in("customers", "first.csv", &customers(0, 50));
    wait("it is stored", || (pending(&shop) == 50).then_some(()));
    faulty.fail(&[("write", "/state/", errno)]);
    back(&shop);
    shop.drop_in("customers", "second.csv", &customers(50, 50));
    wait("it is said", || {
        log(&shop).contains("the disk is full").then_some(())
    });
    assert!(
        shop.path("customers/second.csv").exists(),
        "the file waits, {}",
        log(&shop)
    );
    lives(&mut daemon);
    faulty.heal();
    wait("it goes on once something can be written", || {
        (shop.standin.holds("customers").len() == 100).then_some(())
    });
    wait("the answers are recorded", || {
        (pending(&shop) == 0).then_some(())
    });
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0), "{}", log(&shop));
}

#[test]
fn a_full_disk_that_takes_no_answer_is_waited_for() {
    check_no_room(ENOSPC);
}

#[test]
fn a_quota_that_is_used_up_is_waited_for_like_a_full_disk() {
    check_no_room(EDQUOT);
}

/// The database cannot be relied on any more: the process ends (74), and the next one loses nothing.
#[track_caller]
fn check_failing(call: &str, part: &str) {
    let shop = Shop::new();
    let faulty = Faulty::new(&shop);
    away(&shop);
    let daemon = faulty.daemon();
    shop.drop_in("customers", "first.csv", &customers(0, 50));
    wait("it is stored", || (pending(&shop) == 50).then_some(()));
    faulty.fail(&[(call, part, EIO)]);
    shop.drop_in("customers", "second.csv", &customers(50, 50));
    assert_eq!(daemon.ended(), Some(74), "{}", log(&shop));
    let said = log(&shop);
    assert!(
        said.contains("cannot be read or written") && !said.contains("fault in tillsync"),
        "{said}"
    );
    faulty.heal();
    back(&shop);
    let daemon = faulty.daemon();
    wait("all is delivered", || {
        (shop.standin.holds("customers").len() == 100).then_some(())
    });
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0), "{}", log(&shop));
}

#[test]
fn a_disk_that_does_not_write_the_database_ends_the_daemon() {
    check_failing("write", "/state/tillsync.db");
}

#[test]
fn a_disk_that_does_not_keep_the_database_ends_the_daemon() {
    check_failing("sync", "/state/tillsync.db");
}

/// What fails on a drop folder's disk is said, waited for, and done in the end.
#[track_caller]
fn check_folder(call: &str, part: &str) {
    let shop = Shop::new();
    let faulty = Faulty::new(&shop);
    let mut daemon = faulty.daemon();
    shop.wait_running();
    faulty.fail(&[(call, part, EIO)]);
    let text = format!("source_id,birthdate\n{}", "c-1,1990-01-01\nc-2,yesterday\n");
    shop.drop_in("customers", "a.csv", &text);
    wait("it is said", || {
        let todo = shop.json(&["todo"]).to_string();
        todo.contains("input/output error").then_some(())
    });
    lives(&mut daemon);
    faulty.heal();
    wait_for(Duration::from_secs(120), "it is done in the end", || {
        let done = shop.listing(&shop.path("customers/archive"));
        done.iter()
            .any(|name| name.ends_with("-a.csv"))
            .then_some(())
    });
    assert_eq!(shop.listing(&shop.path("customers/rejects")).len(), 1);
    shop.wait_delivered();
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0), "{}", log(&shop));
}

#[test]
fn a_file_that_the_disk_does_not_give_is_waited_for() {
    check_folder("read", "/customers/a.csv");
}

#[test]
fn rejects_that_the_disk_does_not_take_are_written_later() {
    check_folder("write", "/customers/rejects/");
}
