#!/usr/bin/env python3
"""What a host sees of the daemon: start, one small file, many customers, idle, a million records.

    cargo build --release && python3 benches/daemon.py

Prints each figure beside its bound (status 1 if one is missed). Everything happens on loopback and in
a temporary folder; bounds are for an otherwise idle machine.
"""
import http.client, json, os, pathlib, shutil, signal, socket, sqlite3, statistics, subprocess, sys, tempfile, time, urllib.request

BINARY = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/tillsync").resolve()
missed = []


def say(what, value, bound, unit):
    ok = value <= bound
    print(f"{'ok  ' if ok else 'MISS'} {what}: {value:.3g} {unit} (at most {bound:g})", flush=True)
    if not ok:
        missed.append(what)


class Shop:
    def __init__(self, standin_options=()):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tillsync-bench-"))
        self.standin = subprocess.Popen([BINARY, "standin", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
        self.url = next(w for w in self.standin.stdout.readline().split() if w.startswith("http://")).rstrip("/")
        for name, text in (("app-id", "app-id"), ("app-token", "app-token")):
            (self.dir / name).write_text(text)
            (self.dir / name).chmod(0o600)
        (self.dir / "customers").mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = self.dir / "tillsync.toml"
        self.config.write_text(f'''
state_dir = "{self.dir}/state"
[api]
url = "{self.url}"
app_id_file = "{self.dir}/app-id"
app_token_file = "{self.dir}/app-token"
share = 1.0
[[folder]]
path = "{self.dir}/customers"
kind = "customers"
settle = "1s"
[local]
listen = "127.0.0.1:{self.port}"
''')

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return urllib.request.urlopen(request).read()

    def start(self):
        """Starts the daemon; seconds until it told systemd that it is ready."""
        path = self.dir / "notify"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            notify.settimeout(30)
            begun = time.monotonic()
            log = open(self.dir / "log", "a")
            env = dict(os.environ, NOTIFY_SOCKET=str(path))
            self.daemon = subprocess.Popen([BINARY, "run", "--config", self.config], env=env, stdout=log, stderr=log)
            while b"READY=1" not in notify.recv(4096):
                pass
            return time.monotonic() - begun

    def drop(self, name, text):
        part = self.dir / "customers" / f".{name}"
        part.write_text(text)
        part.rename(self.dir / "customers" / name)

    def value(self, sql):
        with sqlite3.connect(f"file:{self.dir}/state/tillsync.db?mode=ro", uri=True) as db:
            return db.execute(sql).fetchone()[0]

    def until(self, sql, wanted, patience=60):
        begun = time.monotonic()
        while self.value(sql) != wanted:
            if time.monotonic() - begun > patience:
                raise SystemExit(f"not within {patience} s: {sql}")
            time.sleep(0.002)

    def rss_mib(self):
        status = pathlib.Path(f"/proc/{self.daemon.pid}/status").read_text()
        return int(next(l for l in status.splitlines() if l.startswith("VmRSS")).split()[1]) / 1024

    def switches(self):
        total = 0
        for task in pathlib.Path(f"/proc/{self.daemon.pid}/task").iterdir():
            line = next(l for l in (task / "status").read_text().splitlines() if l.startswith("voluntary"))
            total += int(line.split()[1])
        return total

    def peak_mib(self):
        status = pathlib.Path(f"/proc/{self.daemon.pid}/status").read_text()
        return int(next(l for l in status.splitlines() if l.startswith("VmHWM")).split()[1]) / 1024

    def view_ms(self, path, times=50):
        """The median of some views, each by a connection of its own."""
        taken = []
        for _ in range(times):
            begun = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            taken.append((time.monotonic() - begun) * 1000)
        return statistics.median(taken)

    def command(self, *args):
        subprocess.run([BINARY, *args, "--config", self.config], check=True, stdout=subprocess.DEVNULL)

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        status = self.daemon.wait(10)
        assert status == 0, status
        return time.monotonic() - begun

    def end(self):
        self.standin.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


STORED = "SELECT count(*) FROM file WHERE state = 'stored'"
ROW = "c-{n:07},Name {n},customer{n}@example.com,+3361234{n:05},1990-02-{d:02},{n} rue des Exemples,Paris,75001,FR,gold,{n}\n"
HEADER = "source_id,name,email,phone,birthdate,address.line_1,address.city,address.postal_code,address.country,metadata.level,metadata.points\n"


def rows(first, count):
    return HEADER + "".join(ROW.format(n=n, d=n % 28 + 1) for n in range(first, first + count))


shop = Shop()
shop.post("/_standin/settings", {"instant": True, "limit": {"calls": 1000000000, "bulk_calls": 1000000000}})
say("ready on an empty store", shop.start() * 1000, 100, "ms")
shop.drop("warm.csv", rows(9_000_000, 1))
shop.until(STORED, 1)
begun = time.monotonic()
shop.drop("small.csv", rows(8_000_000, 100))
shop.until(STORED, 2)
say("a renamed-in file of 100 rows is stored", (time.monotonic() - begun) * 1000, 50, "ms")
shop.until("SELECT count(*) FROM pending", 0)
text = rows(0, 100_000)
begun = time.monotonic()
shop.drop("many.csv", text)
shop.until(STORED, 3)
shop.until("SELECT count(*) FROM pending", 0)
say("100,000 new customers, dropped to acknowledged", time.monotonic() - begun, 3, "s")
print(f"     peak memory {shop.peak_mib():.1f} MiB")
say("SIGTERM", shop.stop(), 5, "s")
say("ready on a store of 100,000", shop.start() * 1000, 100, "ms")
time.sleep(20)  # start-up's own work is over, the first pass of [retention], too
before = shop.switches()
time.sleep(20)
say("wake-ups of an idle daemon in 20 s", shop.switches() - before, 8, "")
say("memory of an idle daemon", shop.rss_mib(), 14, "MiB")
# A million records, none of them sent, and a stop that was not clean: all of it is looked at again,
# beside the start.
shop.command("pause")
shop.drop("million.csv", rows(0, 1_000_000))
shop.until(STORED, 4, patience=300)
shop.kill()
say("ready on a store of a million, after kill -9", shop.start() * 1000, 100, "ms")
say("a page view with a million records, while all is looked at", shop.view_ms("/", 10), 50, "ms")
time.sleep(30)  # start-up's own work is over
say("a page view with a million records", shop.view_ms("/"), 5, "ms")
say("/metrics with a million records", shop.view_ms("/metrics"), 5, "ms")
say("/healthz with a million records", shop.view_ms("/healthz"), 5, "ms")
say("memory of a daemon that was looked at", shop.rss_mib(), 24, "MiB")
shop.stop()
shop.end()
sys.exit(bool(missed))
