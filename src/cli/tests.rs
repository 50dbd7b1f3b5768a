//! How commands end: failures, statuses, what is asked, and what `init` leaves.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

/// What a command wrote, and how it ended.
struct Ended {
    result: Result<Status, Failure>,
    out: String,
    err: String,
}

fn with_shell<T>(
    input: &str,
    terminal: bool,
    act: impl FnOnce(&mut Shell<'_>) -> T,
) -> (T, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut input = input.as_bytes();
    let mut shell = Shell {
        out: &mut out,
        err: &mut err,
        input: &mut input,
        out_is_terminal: terminal,
        err_is_terminal: terminal,
        styled: false,
        coloured: false,
        input_is_terminal: terminal,
        width: None,
        zone: jiff::tz::TimeZone::UTC,
        config: None,
        loaded: None,
        environment: Environment {
            config: None,
            host: "h".to_owned(),
        },
    };
    let result = act(&mut shell);
    (
        result,
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

fn typed(line: &[&str]) -> Ended {
    let cli = Cli::try_parse_from([&["tillsync"], line].concat()).unwrap();
    let (result, out, err) = with_shell("", false, |shell| {
        shell.config = cli.config;
        dispatch(cli.command, shell)
    });
    Ended { result, out, err }
}

#[test]
fn every_ending_has_its_status() {
    let text = String::new;
    for (failure, code) in [
        (Failure::OutputClosed, 0),
        (Failure::Internal(text()), 1),
        (Failure::Usage(text()), 2),
        (Failure::Data(text()), 65),
        (Failure::Away(text()), 69),
        (Failure::Io(text()), 74),
        (Failure::Busy(text()), 75),
        (Failure::Refused(text()), 77),
        (Failure::Configuration(Problems::default()), 78),
    ] {
        assert_eq!(failure.code(), code, "{failure:?}");
    }
    let worst = [
        Status::Attention,
        Status::Refused,
        Status::Away,
        Status::Done,
    ]
    .into_iter()
    .max();
    assert_eq!(worst.map(Status::code), Some(77));
}

#[test]
fn a_failure_says_what_is_wrong_and_what_to_do() {
    let mut err = Vec::new();
    let code = conclude(
        Err(Failure::Io("disk: full\nMake room.".to_owned())),
        &mut err,
        false,
    );
    assert_eq!(
        (code, String::from_utf8(err).unwrap().as_str()),
        (74, "error: disk: full\n  Make room.\n")
    );

    let mut err = Vec::new();
    assert_eq!(conclude(Err(Failure::OutputClosed), &mut err, false), 0);
    assert!(err.is_empty());
}

/// A pipe whose reader has gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let (result, _, err) = with_shell("", false, |shell| {
        let mut gone = Gone;
        let mut shell = Shell {
            out: &mut gone,
            err: &mut *shell.err,
            input: &mut *shell.input,
            out_is_terminal: false,
            err_is_terminal: false,
            styled: false,
            coloured: false,
            input_is_terminal: false,
            width: None,
            zone: shell.zone.clone(),
            config: None,
            environment: shell.environment.clone(),
            loaded: None,
        };
        dispatch(Command::Man, &mut shell)
    });
    assert_eq!((result, err.as_str()), (Err(Failure::OutputClosed), ""));
}

#[test]
fn what_cannot_be_undone_is_asked_where_somebody_can_answer() {
    let ask = |input: &str, terminal: bool, yes: bool| {
        with_shell(input, terminal, |shell| {
            shell.confirm("Erase it?", Consent { yes })
        })
    };
    assert_eq!(ask("y\n", true, false).0, Ok(true));
    assert_eq!(ask("YES\n", true, false).0, Ok(true));
    assert_eq!(ask("n\n", true, false).0, Ok(false));
    assert_eq!(ask("\n", true, false).0, Ok(false));
    assert_eq!(ask("", true, false).0, Ok(false));
    assert_eq!(ask("", false, true).0, Ok(true));
    assert_eq!(ask("y\n", false, false).0.unwrap_err().code(), 2);
    assert_eq!(ask("y\n", true, false).2, "Erase it? [y/N] ");
}

#[test]
fn a_key_can_come_from_standard_input() {
    let key = |typed: &str, input: &str| with_shell(input, false, |shell| shell.key(typed)).0;
    assert_eq!(key("C1", "x"), Ok("C1".to_owned()));
    assert_eq!(key("-", " C 2 \nC3\n"), Ok("C 2".to_owned()));
    assert_eq!(key("-", "\n").unwrap_err().code(), 2);
}

#[test]
fn without_a_configuration_commands_end_with_78_and_name_the_file() {
    let ended = typed(&["check", "--config", "/does/not/exist.toml"]);
    assert_eq!(ended.result, Ok(Status::Misconfigured));
    assert!(
        ended
            .err
            .starts_with("error: /does/not/exist.toml: does not exist\n"),
        "{}",
        ended.err
    );

    let (loaded, ..) = with_shell("", false, |shell| {
        shell.config = Some("/does/not/exist.toml".into());
        shell.load_config().map(|_| ())
    });
    assert_eq!(loaded.unwrap_err().code(), 78);
}

#[test]
fn completions_know_the_commands() {
    for name in ["bash", "zsh", "fish"] {
        let ended = typed(&["completions", name]);
        assert_eq!(ended.result, Ok(Status::Done));
        for word in ["rebind", "no-deliver", "customers"] {
            assert!(ended.out.contains(word), "{name}: {word}");
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn init_makes_a_start_that_check_accepts() {
    let dir = tempfile::tempdir().unwrap();
    let trial = dir.path().join("trial");
    let ended = typed(&["init", "--dir", trial.to_str().unwrap()]);
    assert_eq!(ended.result, Ok(Status::Done), "{}", ended.err);
    for name in [
        "customers",
        "customers/archive",
        "orders/rejects",
        "skus",
        "products",
    ] {
        assert_eq!(mode(&trial.join("drop").join(name)), 0o2770, "{name}");
    }
    assert_eq!(mode(&trial.join("state")), 0o700);
    for part in ["tillsync login --config", "create mask = 0660", "[drop]"] {
        assert!(ended.out.contains(part), "{part}");
    }

    let file = trial.join("tillsync.toml");
    let ended = typed(&["check", "--config", file.to_str().unwrap()]);
    assert!(
        ended.out.contains("ok  configuration"),
        "{}{}",
        ended.out,
        ended.err
    );
}

#[test]
fn init_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    let here = dir.path().display();
    let text =
        format!("state_dir = \"{here}/s\"\n[[folder]]\npath = \"{here}/in\"\nkind = \"skus\"\n");
    std::fs::write(&file, &text).unwrap();
    std::fs::create_dir_all(dir.path().join("in/archive")).unwrap();
    std::fs::set_permissions(
        dir.path().join("in"),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let ended = typed(&["init", "--config", file.to_str().unwrap()]);
    assert_eq!(ended.result, Ok(Status::Done), "{}", ended.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    assert_eq!(mode(&dir.path().join("in")), 0o755);
    assert!(dir.path().join("in/rejects").is_dir());
    assert!(
        ended.out.contains("mine.toml (it was there)"),
        "{}",
        ended.out
    );

    // A wrong configuration is not worked with.
    std::fs::write(&file, "setle = 1\n").unwrap();
    let ended = typed(&["init", "--config", file.to_str().unwrap()]);
    assert_eq!(ended.result.unwrap_err().code(), 78);
}
