use super::*;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

const SETTLE: Moment = 10_000;

struct Stage {
    dir: tempfile::TempDir,
    folders: Folders,
    now: Moment,
}

impl Stage {
    fn new(change: impl FnOnce(&mut config::Folder)) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("drop")).unwrap();
        let mut settings = settings(dir.path().join("drop"));
        change(&mut settings);
        let mut stage = Stage {
            folders: Folders::new(&[Arc::new(settings)], true),
            dir,
            now: 1_000_000,
        };
        stage.folders.look(stage.now);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("drop").join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A complete file, renamed in.
    fn rename_in(&self, name: &str) {
        let there = self.dir.path().join("elsewhere");
        fs::write(&there, "a\n").unwrap();
        fs::rename(there, self.path(name)).unwrap();
    }

    fn pass(&mut self, ms: Moment) {
        self.now += ms;
        self.folders.look(self.now);
    }

    /// Takes all that is complete, in order.
    fn take(&mut self) -> String {
        self.folders.look(self.now);
        let mut names = Vec::new();
        while let Some(ready) = self.folders.next(|_| true) {
            names.push(names::shown(&ready.name));
            self.folders.get_mut(0).mark_known(&ready.name, ready.stat);
        }
        names.join(" ")
    }

    fn state(&self) -> &'static str {
        self.folders.get(0).state().0
    }
}

fn settings(path: PathBuf) -> config::Folder {
    config::Folder {
        settle: Duration::from_millis(SETTLE as u64),
        ..config::Folder::with_defaults("drop", &path, crate::kind::Kind::Customers)
    }
}

#[test]
fn a_file_renamed_in_is_complete_at_once() {
    let mut stage = Stage::new(|_| {});
    stage.rename_in("a.csv");
    assert_eq!(stage.take(), "a.csv");
}

#[test]
fn a_file_written_here_is_complete_when_it_is_closed_and_settled() {
    let mut stage = Stage::new(|_| {});
    let mut file = fs::File::create(stage.path("a.csv")).unwrap();
    file.write_all(b"half").unwrap();
    stage.pass(600_000);
    assert_eq!(stage.take(), "");
    assert!(
        stage
            .folders
            .get(0)
            .why_waiting()
            .unwrap()
            .1
            .contains("still open")
    );
    file.write_all(b"whole").unwrap();
    drop(file);
    stage.pass(0);
    stage.pass(SETTLE - 1);
    assert_eq!(stage.take(), "");
    stage.pass(1);
    assert_eq!(stage.take(), "a.csv");
}

#[test]
fn files_are_taken_in_the_order_in_which_they_were_complete() {
    let mut stage = Stage::new(|_| {});
    for name in ["c.csv", "a.csv", "b.csv"] {
        stage.rename_in(name);
    }
    assert_eq!(stage.take(), "c.csv a.csv b.csv");
}

#[test]
fn of_several_found_at_once_the_oldest_is_first_then_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let time = |file: &str, seconds: u64| {
        let file = fs::File::create(dir.path().join(file)).unwrap();
        (&file).write_all(b"a\n").unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds))
            .unwrap();
    };
    time("c.csv", 5);
    time("a.csv", 9);
    time("b.csv", 9);
    let settings = settings(dir.path().to_owned());
    let mut folders = Folders::new(&[Arc::new(settings)], true);
    folders.look(0);
    assert!(folders.next(|_| true).is_none());
    assert!(folders.get(0).is_settling());
    folders.look(12 * SETTLE);
    let mut names = Vec::new();
    while let Some(ready) = folders.next(|_| true) {
        names.push(names::shown(&ready.name));
        folders.get_mut(0).mark_known(&ready.name, ready.stat);
    }
    assert_eq!(names, ["c.csv", "a.csv", "b.csv"]);
}

#[test]
fn a_file_with_an_old_time_is_taken_as_well() {
    let mut stage = Stage::new(|_| {});
    stage.rename_in("new.csv");
    assert_eq!(stage.take(), "new.csv");
    let there = stage.dir.path().join("elsewhere");
    let file = fs::File::create(&there).unwrap();
    (&file).write_all(b"a\n").unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(978_307_200))
        .unwrap();
    fs::rename(there, stage.path("old.csv")).unwrap();
    assert_eq!(stage.take(), "old.csv");
}

#[test]
fn a_part_that_gets_its_name_is_complete_at_once() {
    let mut stage = Stage::new(|_| {});
    stage.put("a.csv.part", "a\n");
    stage.pass(600_000);
    assert_eq!(stage.take(), "");
    fs::rename(stage.path("a.csv.part"), stage.path("a.csv")).unwrap();
    assert_eq!(stage.take(), "a.csv");
}

#[test]
fn a_part_that_gets_its_name_while_it_is_open_is_not() {
    let mut stage = Stage::new(|_| {});
    let mut file = fs::File::create(stage.path("a.csv.part")).unwrap();
    file.write_all(b"half").unwrap();
    fs::rename(stage.path("a.csv.part"), stage.path("a.csv")).unwrap();
    stage.pass(600_000);
    assert_eq!(stage.take(), "");
    file.write_all(b"whole").unwrap();
    drop(file);
    stage.pass(0);
    stage.pass(SETTLE);
    assert_eq!(stage.take(), "a.csv");
}

#[test]
fn what_is_not_for_us_is_named() {
    let mut stage = Stage::new(|_| {});
    stage.rename_in("a.pdf");
    stage.rename_in(".hidden.csv");
    stage.rename_in("b.csv.tmp");
    std::os::unix::fs::symlink("/etc/passwd", stage.path("link.csv")).unwrap();
    fs::create_dir(stage.path("archive")).unwrap();
    stage.pass(600_000);
    assert_eq!(stage.take(), "");
    let (count, names) = stage.folders.get(0).foreign();
    assert_eq!((count, names), (2, vec!["a.pdf".into(), "link.csv".into()]));
    assert_eq!(stage.folders.get(0).waiting(), 0);
}

#[test]
fn a_marker_completes_its_file() {
    let mut stage = Stage::new(|s| s.done = Some("{name}.ok".into()));
    stage.rename_in("a.csv");
    stage.rename_in("b.csv");
    stage.pass(600_000);
    assert_eq!(stage.take(), "");
    assert_eq!(stage.folders.get(0).waiting(), 2);
    stage.put("b.csv.ok", "");
    assert_eq!(stage.take(), "b.csv");
    assert_eq!(stage.folders.get(0).foreign().0, 0);
}

#[test]
fn a_second_link_is_waited_for() {
    let mut stage = Stage::new(|_| {});
    let there = stage.dir.path().join("elsewhere");
    fs::write(&there, "a\n").unwrap();
    fs::hard_link(&there, stage.path("a.csv")).unwrap();
    stage.pass(600_000);
    assert_eq!(stage.take(), "");
    assert!(
        stage
            .folders
            .get(0)
            .why_waiting()
            .unwrap()
            .1
            .contains("hard link")
    );
    fs::remove_file(there).unwrap();
    stage.pass(SETTLE);
    assert_eq!(stage.take(), "a.csv");
}

#[test]
fn a_file_that_is_known_is_offered_again_once_it_changes() {
    let mut stage = Stage::new(|_| {});
    stage.rename_in("a.csv");
    assert_eq!(stage.take(), "a.csv");
    stage.pass(600_000);
    assert_eq!(stage.take(), "");
    stage.put("a.csv", "other\n");
    stage.pass(0);
    stage.pass(SETTLE);
    assert_eq!(stage.take(), "a.csv");
    stage.rename_in("a.csv");
    assert_eq!(stage.take(), "a.csv");
}

#[test]
fn a_folder_that_is_made_anew_comes_back_by_itself() {
    let mut stage = Stage::new(|_| {});
    assert_eq!(stage.state(), "watched");
    fs::remove_dir(stage.path("")).unwrap();
    stage.pass(0);
    assert_eq!(stage.state(), "gone");
    fs::create_dir(stage.path("")).unwrap();
    stage.put("early.csv", "a\n");
    stage.pass(GONE_AGAIN_MS);
    assert_eq!(stage.state(), "watched");
    stage.rename_in("late.csv");
    assert_eq!(stage.take(), "late.csv");
    stage.pass(12 * SETTLE);
    assert_eq!(stage.take(), "early.csv");
}

#[test]
fn a_folder_that_is_missing_at_the_start_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path().join("drop"));
    let mut folders = Folders::new(&[Arc::new(settings)], true);
    folders.look(0);
    assert_eq!(folders.get(0).state().0, "gone");
    assert_eq!(folders.next_look(), GONE_AGAIN_MS);
    fs::create_dir(dir.path().join("drop")).unwrap();
    folders.look(GONE_AGAIN_MS);
    assert_eq!(folders.get(0).state().0, "watched");
}

#[test]
fn what_events_missed_a_rescan_finds() {
    let mut stage = Stage::new(|_| {});
    // As after an overflow: the events are read and thrown away.
    stage.put("a.csv", "a\n");
    stage.folders.watch.as_mut().unwrap().read().unwrap();
    stage.folders.apply(Note::Overflow, stage.now);
    stage.pass(0);
    assert_eq!(stage.folders.overflows, 1);
    assert_eq!(stage.take(), "");
    stage.pass(12 * SETTLE);
    assert_eq!(stage.take(), "a.csv");
}

#[test]
fn nothing_wakes_an_idle_folder_before_the_rescan() {
    let mut stage = Stage::new(|_| {});
    stage.rename_in("a.csv");
    stage.take();
    stage.pass(0);
    assert_eq!(stage.folders.next_look(), stage.now + RESCAN_MS);
}

#[test]
fn where_there_are_no_events_files_are_polled() {
    let mut stage = Stage::new(|_| {});
    stage.folders.watch = None;
    stage.folders.list[0].place.as_mut().unwrap().has_events = false;
    stage.folders.rescan_all();
    stage.pass(0);
    stage.put("a.csv", "a\n");
    assert_eq!(stage.folders.next_look(), stage.now + SETTLE / 2);
    stage.pass(SETTLE / 2);
    assert_eq!(stage.take(), "");
    stage.pass(SETTLE);
    assert_eq!(stage.take(), "a.csv");
    let (state, why) = stage.folders.get(0).state();
    assert_eq!(state, "polled");
    assert!(why.unwrap().contains("every 5 s"));
}

#[test]
fn new_settings_keep_what_was_seen() {
    let mut stage = Stage::new(|_| {});
    let mut file = fs::File::create(stage.path("a.txt")).unwrap();
    file.write_all(b"half").unwrap();
    stage.pass(0);
    let mut other = settings(stage.path(""));
    other.path = stage.dir.path().join("drop");
    other.files = vec!["*.txt".into()];
    stage.folders.reconfigure(&[Arc::new(other)], stage.now);
    stage.pass(12 * SETTLE);
    assert_eq!(stage.take(), "");
    drop(file);
    stage.pass(0);
    stage.pass(SETTLE);
    assert_eq!(stage.take(), "a.txt");
}

#[test]
fn twenty_thousand_files_are_taken_in_reasonable_time() {
    let mut stage = Stage::new(|s| s.settle = Duration::ZERO);
    for i in 0..20_000 {
        fs::File::create(stage.path(&format!("{i}.csv"))).unwrap();
    }
    let mut taken = 0;
    stage.folders.look(stage.now);
    stage.pass(RESCAN_MS);
    while let Some(ready) = stage.folders.next(|_| true) {
        stage.folders.get_mut(0).drop_name(&ready.name, stage.now);
        taken += 1;
    }
    assert_eq!(taken, 20_000);
}
