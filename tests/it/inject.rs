//! A fault at one call of the kernel after the other: the process is killed there, the disk fails, or
//! it is full. `strace` brings them about in the real binary; where it is not there, or may not trace,
//! nothing is tried and the test says so. What a run without a fault leaves is what each of them has
//! to leave after one more run.
//!
//! Each few of the calls here; `TILLSYNC_EVERY=1 cargo test --test it inject::` tries them all, and
//! `TILLSYNC_INJECT='fsync error=EIO 34'` that one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::shop::{Shop, number, wait};

/// What changes something outside the process. The last of them is not told that it fails: most of
/// them wake another thread, or write to a socket, which no disk keeps from it.
const CALLS: &[&str] = &[
    "pwrite64",
    "fsync",
    "renameat2",
    "unlink,unlinkat",
    "ftruncate",
    "mkdirat",
    "fchmod,fchown",
    "open,openat",
    "write,writev",
];

/// Trials with a fault at each of them, spread evenly.
const TRIALS: usize = 7;

#[derive(Clone, Debug)]
struct Fault {
    calls: String,
    /// In `strace`'s words.
    what: String,
    /// The n-th call that a thread makes.
    n: usize,
}

/// All that can be seen of a shop from outside.
#[derive(Debug)]
#[expect(dead_code, reason = "compared as it is shown")]
struct Seen {
    stored: Value,
    pending: Value,
    parked: Value,
    /// Kind and key of what changed. How often may differ: an order's customer may come before it.
    changed: BTreeSet<String>,
    /// File, line and code.
    rejects: Vec<String>,
    /// What the remote holds, by kind and key.
    remote: BTreeMap<String, Value>,
    /// Folder and name without its time, to its bytes.
    files: BTreeMap<(String, String), String>,
}

fn fill(shop: &Shop) {
    for (kind, name, text) in [
        (
            "customers",
            "a.csv",
            "source_id,name,metadata.v\nc-1,Ann,1\nc-2,Bob,1\n,Nokey,1\nc-3,Cy,1\n",
        ),
        (
            "products",
            "b.csv",
            "source_id,name,price\np-1,Tea,1.50\np-2,Cup,abc\n",
        ),
        (
            "skus",
            "c.csv",
            "source_id,product,sku,price\ns-1,p-1,Green,2.00\ns-2,p-1,Black,2.10\n",
        ),
        (
            "orders",
            "d.csv",
            "source_id,status,amount,customer.source_id,item.source_id,item.quantity,item.price\no-1,PAID,3.00,c-1,p-1,2,1.50\no-2,PAID,1.50,c-2,p-1,1,1.50\n",
        ),
    ] {
        shop.drop_in(kind, name, text);
    }
}

fn see(shop: &Shop) -> Seen {
    let status = shop.json(&["status"]);
    // At most one change of a record for a line of a file.
    let (mut changed, mut changes) = (BTreeSet::new(), BTreeSet::new());
    for change in shop.json(&["changes"]).as_array().unwrap() {
        let record = format!("{} {}", change["kind"], change["key"]);
        let of = format!("{record} {} {}", change["file"], change["line"]);
        assert!(changes.insert(of), "changed twice: {change}");
        changed.insert(record);
    }
    let rejects = shop.json(&["rejects"]);
    let mut rejects: Vec<String> = (rejects.as_array().unwrap().iter())
        .map(|reject| format!("{} {}", reject["line"], reject["code"]))
        .collect();
    rejects.sort();
    let (mut remote, mut files) = (BTreeMap::new(), BTreeMap::new());
    for kind in ["customers", "products", "skus", "orders"] {
        for (key, object) in shop.standin.holds(kind) {
            remote.insert(format!("{kind} {key}"), lasting(object));
        }
        for folder in [
            kind.to_owned(),
            format!("{kind}/archive"),
            format!("{kind}/rejects"),
        ] {
            list(&shop.path(&folder), &folder, &mut files);
        }
    }
    Seen {
        stored: status["stored"].clone(),
        pending: status["pending"].clone(),
        parked: status["parked"].clone(),
        changed,
        rejects,
        remote,
        files,
    }
}

/// Without what the remote makes up, and time.
fn lasting(object: Value) -> Value {
    match object {
        Value::Object(fields) => (fields.into_iter())
            .filter(|(name, _)| {
                name == "source_id"
                    || !(name == "id" || name.ends_with("_id") || name.ends_with("_at"))
            })
            .map(|(name, value)| (name, lasting(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(lasting).collect(),
        plain => plain,
    }
}

fn list(path: &Path, folder: &str, files: &mut BTreeMap<(String, String), String>) {
    let Ok(entries) = fs::read_dir(path) else {
        return;
    };
    for entry in entries.map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            let name = entry.file_name().into_string().unwrap();
            let name = name
                .split_once("Z-")
                .map_or(name.as_str(), |(_, name)| name);
            let text = fs::read_to_string(entry.path()).unwrap();
            let text = match name.ends_with(".rejects.csv") {
                true => without_number(&text),
                false => text,
            };
            let twice = files.insert((folder.to_owned(), name.to_owned()), text);
            assert_eq!(twice, None, "{folder}/{name} stands twice");
        }
    }
}

/// A rejects file without the number of its file: numbers of arrivals may have been used up.
fn without_number(text: &str) -> String {
    let at = |line: &str| line.split(',').position(|cell| cell == "_file");
    let at = text.lines().find_map(at).expect("a rejects file");
    let rows = text.lines().map(|line| {
        let mut cells: Vec<&str> = line.split(',').collect();
        cells.remove(at);
        cells.join(",") + "\n"
    });
    rows.collect()
}

fn strace(shop: &Shop, args: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o"])
        .arg(shop.path("trace"))
        .args(args)
        .arg(env!("CARGO_BIN_EXE_tillsync"))
        .args(["sync", "--config"])
        .arg(shop.config())
        .env_remove("TILLSYNC_CONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// How many of these calls the busiest thread makes in a run without a fault; `None`: nothing can be
/// traced here.
fn counted(calls: &str) -> Option<usize> {
    let shop = Shop::new();
    fill(&shop);
    let trace = format!("trace={calls}");
    let status = strace(&shop, &["-e", &trace])
        .stderr(Stdio::null())
        .status();
    let said = fs::read_to_string(shop.path("trace")).unwrap_or_default();
    if status.ok()?.code() != Some(65) || said.is_empty() {
        return None;
    }
    let mut of_threads: BTreeMap<&str, usize> = BTreeMap::new();
    for line in said.lines().filter(|line| !line.contains("resumed>")) {
        *of_threads
            .entry(line.split(' ').next().unwrap_or_default())
            .or_default() += 1;
    }
    of_threads.into_values().max()
}

/// A sync with the fault, and one without; then all is as if there had been none.
fn trial(fault: &Fault, uncut: &str) -> Result<(), String> {
    let shop = Shop::new();
    fill(&shop);
    let inject = format!("inject={}:{}:when={}", fault.calls, fault.what, fault.n);
    let errors = fs::File::create(shop.path("errors")).unwrap();
    let faulty = strace(
        &shop,
        &["-e", &format!("trace={}", fault.calls), "-e", &inject],
    )
    .stderr(errors)
    .spawn();
    let code = ended(faulty.map_err(|error| error.to_string())?);
    let said = fs::read_to_string(shop.path("errors")).unwrap();
    if said.contains("panicked") || said.contains("defect of tillsync") {
        return Err(format!("it ends with {code:?}: {said}"));
    }
    // The loader's own calls come first.
    let loaded = !said.contains("error while loading shared libraries");
    if loaded && !matches!(code, None | Some(0 | 65 | 74)) {
        return Err(format!("it ends with {code:?}: {said}"));
    }
    let next = shop.run(&["sync"]);
    if !matches!(next.status.code(), Some(0 | 65)) {
        let said = String::from_utf8_lossy(&next.stderr);
        return Err(format!("the next run ends with {:?}: {said}", next.status));
    }
    let seen = format!("{:#?}", see(&shop));
    let differ = |(ours, theirs): &(&str, &str)| ours != theirs;
    match seen.lines().zip(uncut.lines()).find(differ) {
        None if seen.len() == uncut.len() => Ok(()),
        differ => Err(format!("it left, and should have left: {differ:#?}")),
    }
}

/// Its exit status; `None`: it was killed.
fn ended(mut child: Child) -> Option<i32> {
    wait("the run with the fault ends", || child.try_wait().unwrap()).code()
}

#[track_caller]
fn check(calls_of: &[&str], whats: &[&str], trials: usize) {
    let every = number("TILLSYNC_EVERY").map(|every| every as usize);
    let mut faults = Vec::new();
    for calls in calls_of {
        let Some(most) = counted(calls) else {
            eprintln!("passed over: strace is not here, or may not trace");
            return;
        };
        let every = every.unwrap_or(most.div_ceil(trials));
        for what in whats {
            faults.extend((1..=most).step_by(every).map(|n| Fault {
                calls: (*calls).to_owned(),
                what: (*what).to_owned(),
                n,
            }));
        }
    }
    if let Ok(only) = std::env::var("TILLSYNC_INJECT") {
        faults.retain(|fault| only == name(fault));
    }
    let shop = Shop::new();
    fill(&shop);
    assert_eq!(shop.run(&["sync"]).status.code(), Some(65));
    let uncut = format!("{:#?}", see(&shop));
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(text) = trial(fault, &uncut) {
                        failed.lock().unwrap().push(format!(
                            "{text}\nrepeat with: TILLSYNC_INJECT='{}' cargo test --test it inject::\n",
                            name(fault)
                        ));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn name(fault: &Fault) -> String {
    format!("{} {} {}", fault.calls, fault.what, fault.n)
}

#[test]
fn a_kill_at_any_call_of_the_kernel_loses_nothing_and_does_nothing_twice() {
    check(CALLS, &["signal=SIGKILL"], TRIALS);
}

#[test]
fn a_disk_that_fails_at_any_call_ends_the_run_and_costs_nothing() {
    let (_, calls) = CALLS.split_last().unwrap();
    check(calls, &["error=EIO"], TRIALS);
}

#[test]
fn a_disk_or_a_quota_that_is_full_at_any_call_is_waited_for() {
    let (_, calls) = CALLS.split_last().unwrap();
    check(calls, &["error=ENOSPC", "error=EDQUOT"], 2);
}
