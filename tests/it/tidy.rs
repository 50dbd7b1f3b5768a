//! The shape of the code itself: who may know whom, what pure modules may not touch, and that
//! README's map is whole.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules that decide and do nothing else.
const PURE: &[&str] = &[
    "record", "kind", "reject", "table", "preset", "mapping", "plan", "wire", "verdict", "budget",
    "audit",
];

/// What pure modules may not name: clocks, files, sockets, SQL, logs.
const FOREIGN: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "rusqlite",
    "tokio::",
    "reqwest",
    "tracing::",
    "println!",
    "rustix",
    "notify::",
    "crate::store",
    "crate::folder",
    "crate::remote",
    "crate::intake",
    "crate::delivery",
    "crate::daemon",
    "crate::page",
    "crate::cli",
];

/// Who may not be known by whom (`crate::<module>`), beyond the pure ones.
const NO_ARROW: &[(&str, &[&str])] = &[
    (
        "store",
        &[
            "table", "preset", "folder", "remote", "intake", "delivery", "daemon", "page", "cli",
            "standin",
        ],
    ),
    (
        "folder",
        &[
            "mapping", "preset", "record", "remote", "delivery", "intake", "daemon", "page", "cli",
            "standin",
        ],
    ),
    (
        "remote",
        &[
            "store", "folder", "verdict", "intake", "delivery", "daemon", "page", "cli", "standin",
        ],
    ),
    (
        "intake",
        &[
            "remote", "wire", "verdict", "delivery", "daemon", "page", "cli", "standin",
        ],
    ),
    (
        "delivery",
        &[
            "folder", "table", "mapping", "preset", "intake", "daemon", "page", "cli", "standin",
        ],
    ),
    ("page", &["intake", "delivery", "cli", "standin"]),
    ("daemon", &["cli"]),
    (
        "standin",
        &[
            "record", "kind", "store", "wire", "verdict", "budget", "plan", "table", "mapping",
            "preset", "intake", "delivery", "daemon", "page", "cli", "config",
        ],
    ),
    ("cli", &["wire", "remote", "verdict"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file of a module, and its text without its tests.
fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![
        root().join("src").join(module),
        root().join("src").join(format!("{module}.rs")),
    ];
    while let Some(path) = open.pop() {
        if path.is_dir() && path.file_name().is_some_and(|name| name == "tests") {
            continue;
        } else if path.is_dir() {
            open.extend(fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs")
            && path.exists()
            && !path.ends_with("tests.rs")
        {
            let text = fs::read_to_string(&path).unwrap();
            let code = text
                .split("#[cfg(test)]\nmod tests")
                .next()
                .unwrap_or_default();
            let code: Vec<&str> = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            found.push((path, code.join("\n")));
        }
    }
    found
}

fn modules() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    lib.lines()
        .filter_map(|line| {
            line.strip_prefix("pub mod ")?
                .strip_suffix(';')
                .map(str::to_owned)
        })
        .collect()
}

#[test]
fn pure_modules_touch_no_clock_file_socket_sql_or_log() {
    for module in PURE {
        for (path, code) in sources(module) {
            for word in FOREIGN {
                assert!(
                    !code.contains(word),
                    "{}: a pure module names `{word}`",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn nobody_knows_whom_they_must_not() {
    for (module, strangers) in NO_ARROW {
        for (path, code) in sources(module) {
            for stranger in *strangers {
                let arrow = format!("crate::{stranger}");
                let known = code.match_indices(&arrow).any(|(at, _)| {
                    !code[at + arrow.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
                });
                assert!(
                    !known,
                    "{}: `{module}` must not know `{stranger}`",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn sql_stands_in_the_store_alone() {
    for module in modules().iter().filter(|m| *m != "store") {
        for (path, code) in sources(module) {
            assert!(
                !code.contains("rusqlite::") || module == "store",
                "{}: names rusqlite",
                path.display()
            );
            for word in ["SELECT ", "INSERT INTO", "DELETE FROM", "PRAGMA "] {
                assert!(
                    !code.contains(word),
                    "{}: SQL outside the store",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn readme_has_a_map_of_every_module() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for module in modules() {
        assert!(
            readme.contains(&format!("`{module}")),
            "README's map of the code lacks `{module}`"
        );
    }
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let listed = std::process::Command::new("git")
        .args(["ls-files"])
        .current_dir(root())
        .output();
    let Ok(listed) = listed else { return };
    for name in String::from_utf8_lossy(&listed.stdout).lines() {
        let Ok(text) = fs::read_to_string(root().join(name)) else {
            continue;
        };
        for word in [concat!("/wo", "rk/"), concat!("../sha", "red/")] {
            assert!(
                !text.contains(word) || name == ".ci/run",
                "{name}: names a place outside the project"
            );
        }
    }
}
