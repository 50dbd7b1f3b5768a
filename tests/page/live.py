#!/usr/bin/env python3
"""The running page in a real Chromium: it asks nobody else for anything, reads without JavaScript,
fits a phone of 360 pixels, in light and dark, and takes no name for markup.

    tests/page/live.py TILLSYNC [PICTURES]

PICTURES: a folder with the states that `tests/page/pictures.sh` draws; each is looked at, too, and
photographed as a phone shows it. Runs as root in CI, hence the browser's own sandbox is off.
"""
import base64
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

PROGRAM = os.path.abspath(sys.argv[1])
PICTURES = pathlib.Path(sys.argv[2]).absolute() if len(sys.argv) > 2 else None
PHONE = 360
HOSTILE = '<img src="http://elsewhere.example/a.png"><script src="http://elsewhere.example/b.js"></script>'
# Cells of the table of counts that are higher than one line of their own.
BROKEN = """[...document.querySelectorAll('.counts td, .counts th')].filter(cell => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return range.getClientRects().length > 0 && range.getBoundingClientRect().height > 1.6 * parseFloat(getComputedStyle(cell).fontSize);
}).length"""
OUTSIDE = "[...document.querySelectorAll('.counts')].filter(table => table.parentElement.scrollWidth > table.parentElement.clientWidth).length"
FILES = {
    "a.csv": "source_id,name\nc1,Ann\n",
    "<img src=x onerror=alert(1)>.csv": "source_id,birthdate\nc2,1990-13-45\n",
    "&lt;script&gt;.csv": "source_id,name\nc3,<script>alert(2)</script>\n",
    "long-" + "x" * 200 + ".csv": "source_id,name\nc4,Long\n",
    "no table.csv": "PK\x03\x04 not one\n",
}


class Browser:
    """Chromium by its pipe: commands in, events out, each a line of JSON that ends with a NUL."""

    def __init__(self, profile):
        to_browser, self.write_to = os.pipe()
        self.read_from, from_browser = os.pipe()
        # Descriptors 3 and 4 by a shell: Python hands on no others under numbers of our choice.
        line = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars"
        # An address of another host leads nowhere, also if one were asked for.
        nowhere = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        command = [os.environ.get("CHROMIUM", "chromium"), *flags.split(), nowhere, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(["bash", "-c", line, "bash", *command], pass_fds=[to_browser, from_browser], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.held, self.events, self.number, self.session = b"", [], 0, None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Network", "Log", "Runtime"]:
            self.ask(domain + ".enable")

    def read(self):
        while b"\0" not in self.held:
            more = os.read(self.read_from, 1 << 16)
            assert more, "the browser has ended"
            self.held += more
        line, self.held = self.held.split(b"\0", 1)
        return json.loads(line)

    def ask(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self.events.append(answer)

    def open(self, url):
        self.events.clear()
        self.ask("Page.navigate", url=url)
        while not any(e["method"] == "Page.loadEventFired" for e in self.events):
            self.events.append(self.read())
        # The icon is asked for after the rest.
        time.sleep(0.3)
        self.ask("Runtime.evaluate", expression="1")

    def asked(self):
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    def complaints(self):
        entries = [e["params"]["entry"]["text"] for e in self.events if e["method"] == "Log.entryAdded"]
        return entries + [e["params"]["message"] for e in self.events if e["method"] == "Page.javascriptDialogOpening"]

    def value(self, expression):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def phone(self, dark):
        self.ask("Emulation.setDeviceMetricsOverride", width=PHONE, height=740, deviceScaleFactor=2, mobile=True)
        scheme = "dark" if dark else "light"
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path):
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))


def check(what, found, expected=True):
    if found != expected:
        sys.exit(f"FAILED: {what}: expected {expected!r}, found {found!r}")
    print(f"ok: {what}")


def await_(what, condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"FAILED: {what}")
        time.sleep(0.1)


@contextlib.contextmanager
def daemon(work):
    """A daemon with files of hostile names; its page's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    drop = work / "drop"
    drop.mkdir()
    config = work / "tillsync.toml"
    config.write_text(
        f"store = {json.dumps('<b>paris</b>')}\nstate_dir = {json.dumps(str(work / 'state'))}\n"
        f"[api]\nurl = \"http://127.0.0.1:9\"\n[local]\nlisten = \"127.0.0.1:{port}\"\n[retention]\nmin_free = \"1MB\"\n"
        f"[[folder]]\nname = \"customers\"\npath = {json.dumps(str(drop))}\nkind = \"customers\"\nsettle = \"0s\"\nnote = {json.dumps(HOSTILE)}\n"
    )
    log = open(work / "daemon.log", "w")
    running = subprocess.Popen([PROGRAM, "run", "--config", config], stderr=log, stdout=log)
    try:
        await_("the page answers", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        for name, text in FILES.items():
            (work / "new").write_text(text)
            (work / "new").rename(drop / name)

        def taken():
            listed = subprocess.run([PROGRAM, "files", "--format", "json", "--config", config], capture_output=True, text=True)
            files = json.loads(listed.stdout or "[]")
            return len(files) == len(FILES) and all(f["state"] in ("stored", "unreadable", "held") for f in files)

        await_("all files are taken", taken)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        check("SIGTERM ends it", running.wait(10), 0)


def look_at_page(browser, origin):
    browser.open(origin + "/")
    asked = browser.asked()
    check("it asks for itself and its sheet at least", len(asked) >= 2)
    check("it asks nobody else", [url for url in asked if not url.startswith(origin + "/")], [])
    check("nothing was forbidden or alerted", browser.complaints(), [])
    text = browser.value("document.body.innerText")
    check("names are text", "<img src=x onerror=alert(1)>.csv" in text and "http://elsewhere.example/a.png" in text)
    check("no name became an element", browser.value("document.querySelectorAll('img,script,b,iframe,object').length"), 0)
    check("it says how it stands", browser.value("document.querySelector('h1').innerText") != "")
    check("it says what is missing", "No credentials are set" in text)
    check("commands are set as such", "`" in text, False)
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(origin + "/")
    # Up to where times begin.
    cut = lambda text: text[text.index("No credentials"):].split("since")[0]
    check("it reads the same without JavaScript", cut(browser.value("document.body.innerText")), cut(text))
    browser.ask("Emulation.setScriptExecutionDisabled", value=False)


def look_by_phone(browser, url, name):
    grounds = []
    for dark in (False, True):
        browser.phone(dark)
        browser.open(url)
        width = browser.value("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
        check(f"{name} fits {PHONE} pixels{', dark' if dark else ''}", width <= PHONE)
        check(f"numbers of {name} stand on one line", browser.value(BROKEN), 0)
        check("and within their card", browser.value(OUTSIDE), 0)
        grounds.append(browser.value("getComputedStyle(document.body).backgroundColor"))
        if PICTURES:
            browser.picture(PICTURES / f"{name}-360{'-dark' if dark else ''}.png")
    check(f"{name} is dark by night", grounds[0] != grounds[1])


with tempfile.TemporaryDirectory() as work:
    work = pathlib.Path(work)
    browser = Browser(work / "profile")
    try:
        with daemon(work) as origin:
            look_at_page(browser, origin)
            look_by_phone(browser, origin + "/", "live")
        for page in sorted(PICTURES.glob("*.html")) if PICTURES else []:
            look_by_phone(browser, page.as_uri(), page.stem)
    finally:
        browser.process.kill()
        browser.process.wait()
        shutil.rmtree(work / "profile", ignore_errors=True)
print("all well")
