//! A shop for one test: a folder of its own, a stand-in in another process, the daemon, and eyes.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long any condition may take to come true on a slow, busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const TOKEN: &str = "app-token";
pub const APP_ID: &str = "app-id";

/// What the environment says of how much is tried.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

pub fn tillsync() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tillsync"));
    command
        .env_remove("TILLSYNC_CONFIG")
        .env_remove("JOURNAL_STREAM")
        .env_remove("NOTIFY_SOCKET");
    command
}

/// Waits until `condition` gives something, or fails the test with `what`.
#[track_caller]
pub fn wait<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait_for(PATIENCE, what, condition)
}

#[track_caller]
pub fn wait_for<T>(patience: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(
            started.elapsed() < patience,
            "not within {patience:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(20)); // between two looks, not instead of one
    }
}

/// A process that is killed when the test ends.
pub struct Running {
    pub child: Child,
}

impl Running {
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Its exit status, once it ends by itself.
    #[track_caller]
    pub fn ended(mut self) -> Option<i32> {
        wait("the process ends", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The stand-in in a process of its own.
pub struct Standin {
    pub address: String,
    _process: Running,
}

impl Standin {
    pub fn start() -> Standin {
        let mut child = tillsync()
            .args(["standin", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the stand-in starts");
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let address = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("http://"));
        let address = address
            .unwrap_or_else(|| panic!("no address in {line:?}"))
            .trim_end_matches('/')
            .to_owned();
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Standin {
            address,
            _process: Running { child },
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn get(&self, path: &str) -> String {
        http(&self.address, "GET", path, "")
    }

    pub fn post(&self, path: &str, body: &str) -> String {
        http(&self.address, "POST", path, body)
    }

    pub fn delete(&self, path: &str) -> String {
        http(&self.address, "DELETE", path, "")
    }

    /// What it holds of a kind, by `source_id`.
    pub fn holds(&self, kind: &str) -> serde_json::Map<String, Value> {
        let text = self.get(&format!("/_standin/state/{kind}"));
        match serde_json::from_str(&text) {
            Ok(Value::Object(map)) => map,
            _ => panic!("the stand-in says of {kind}: {text}"),
        }
    }

    /// Its own log of the API's requests, oldest first.
    pub fn requests(&self) -> Vec<Value> {
        self.get("/_standin/requests")
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

pub fn http(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the stand-in listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-App-Id: {APP_ID}\r\nX-App-Token: {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default()
}

/// A folder with a configuration, drop folders and state.
pub struct Shop {
    pub dir: tempfile::TempDir,
    pub standin: Standin,
}

impl Shop {
    /// Watches `customers`, `products`, `skus` and `orders`, each with its plain format.
    pub fn new() -> Shop {
        Shop::new_in(&std::env::temp_dir())
    }

    pub fn new_in(place: &Path) -> Shop {
        let shop = Shop {
            dir: tempfile::tempdir_in(place).unwrap(),
            standin: Standin::start(),
        };
        shop.configure("", "");
        shop
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("tillsync.toml")
    }

    /// Writes the configuration: `top` before all tables, `folder` into each folder's.
    pub fn configure(&self, api: &str, folder: &str) {
        let dir = self.dir.path().display();
        let mut text = format!("store = \"test-shop\"\nstate_dir = \"{dir}/state\"\n");
        text += &format!(
            "[api]\nurl = \"{}\"\napp_id_file = \"{dir}/app-id\"\napp_token_file = \"{dir}/app-token\"\n{api}\n",
            self.standin.url()
        );
        for kind in ["customers", "products", "skus", "orders"] {
            fs::create_dir_all(self.path(kind)).unwrap();
            text += &format!(
                "[[folder]]\npath = \"{dir}/{kind}\"\nkind = \"{kind}\"\nsettle = \"0s\"\n{folder}\n"
            );
        }
        text += "[local]\nlisten = \"\"\n";
        fs::create_dir_all(self.path("state")).unwrap();
        fs::write(self.config(), text).unwrap();
        for (name, secret) in [("app-id", APP_ID), ("app-token", TOKEN)] {
            secret_file(&self.path(name), secret);
        }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = tillsync();
        command.args(args).arg("--config").arg(self.config());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Standard output of a command that succeeds, as JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let output = self
            .command(args)
            .args(["--format", "json"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!(
                "{args:?}: {error}: {text}\n{}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// The daemon, its log in `daemon.log`.
    pub fn daemon(&self) -> Running {
        self.start(&mut self.command(&["run"]))
    }

    /// A daemon by this command.
    pub fn start(&self, command: &mut Command) -> Running {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("daemon.log"))
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Running { child }
    }

    /// Until a daemon is at work on the state directory.
    #[track_caller]
    pub fn wait_running(&self) {
        wait("the daemon runs", || {
            self.json(&["status"])["daemon"]["running"]
                .as_bool()?
                .then_some(())
        });
    }

    /// Renames a file in, as well-behaved systems do.
    pub fn drop_in(&self, kind: &str, name: &str, content: &str) {
        self.drop_when(kind, name, content, |_| {});
    }

    /// The same; what is on no disk when the power is cut was never dropped.
    pub fn drop_for_good(&self, kind: &str, name: &str, content: &str) {
        self.drop_when(kind, name, content, |path| {
            fs::File::open(path).unwrap().sync_all().unwrap();
        });
    }

    /// `settle`: the file before it is renamed, and the folder after.
    fn drop_when(&self, kind: &str, name: &str, content: &str, settle: impl Fn(&Path)) {
        let folder = self.path(kind);
        let part = folder.join(format!(".{name}.coming"));
        fs::write(&part, content).unwrap();
        settle(&part);
        fs::rename(part, folder.join(name)).unwrap();
        settle(&folder);
    }

    /// Sets how much has to be free. Gives the configuration as it was.
    pub fn set_min_free(&self, size: &str) -> String {
        let before = fs::read_to_string(self.config()).unwrap();
        let more = format!("{before}\n[retention]\nmin_free = \"{size}\"\n");
        fs::write(self.config(), more).unwrap();
        before
    }

    /// Until nothing is pending.
    #[track_caller]
    pub fn wait_delivered(&self) {
        wait("nothing is pending", || {
            let status = self.json(&["status"]);
            let count = |what: &str| -> u64 {
                status[what]
                    .as_object()
                    .map(|kinds| kinds.values().filter_map(Value::as_u64).sum())
                    .unwrap_or(u64::MAX)
            };
            let files = ["waiting", "reading"]
                .iter()
                .filter_map(|s| status["files"][s].as_u64())
                .sum::<u64>();
            (count("pending") == 0 && files == 0).then_some(())
        });
    }

    pub fn listing(&self, folder: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Whatever a test was about: every request that it caused has to be valid by the published contract, by a
/// validator that is not ours.
impl Drop for Shop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("daemon.log")).unwrap_or_default();
            let last = log.len().saturating_sub(4_000);
            let last = (last..).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
            let status = self.run(&["status"]).stdout;
            let status = String::from_utf8_lossy(&status);
            eprintln!("the daemon's last words: {}\n{status}", &log[last..]);
            return;
        }
        for request in self.standin.requests() {
            if let Err(fault) = crate::judge::judge(&request) {
                panic!("a request is not valid by the contract: {fault}");
            }
        }
    }
}

pub fn secret_file(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
