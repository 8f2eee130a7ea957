"""Debian's Chromium without a window, driven by the DevTools protocol over a pipe: nothing but the standard library.

    with Chromium() as browser:
        page = browser.open(path, width=400, dark=True)
        page.run("document.title")
        page.screenshot(path)

A page keeps what went wrong on it (`page.troubles`: lines of the console, exceptions, refusals of its policy) and what
it asked for (`page.requests`). The browser has no network: every host is mapped to nothing.
"""

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

TIMEOUT = 60  # seconds
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # it does not start as root otherwise, and reads only our own files
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


class Chromium:
    def __enter__(self):
        program = shutil.which("chromium")
        if not program:
            raise FileNotFoundError("no chromium: apt-get install chromium")
        self.profile = tempfile.mkdtemp(prefix="alloy-chromium-")
        command_end, self.to_browser = os.pipe()
        self.from_browser, event_end = os.pipe()
        # The protocol's own numbers: the browser reads commands from 3 and writes answers and events to 4.
        places = f'exec "$0" "$@" 3<&{command_end} 4>&{event_end}'
        self.process = subprocess.Popen(
            ["bash", "-c", places, program, *FLAGS, f"--user-data-dir={self.profile}", "about:blank"],
            pass_fds=(command_end, event_end),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_end)
        os.close(event_end)
        self.received = b""
        self.events = []
        self.last = 0
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, TimeoutError, EOFError):
            self.call("Browser.close")
        os.close(self.to_browser)
        os.close(self.from_browser)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def receive(self, deadline):
        """The next message, of those that end with a NUL each."""
        while b"\0" not in self.received:
            ready, _, _ = select.select([self.from_browser], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("Chromium does not answer")
            piece = os.read(self.from_browser, 1 << 20)
            if not piece:
                raise EOFError("Chromium ended")
            self.received += piece
        message, _, self.received = self.received.partition(b"\0")
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        """What the browser answers; events that come before it are kept."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT
        while True:
            answer = self.receive(deadline)
            if answer.get("id") == self.last:
                break
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def wait(self, session, loader):
        """Until what this loader loads is there, if it is not already."""
        deadline = time.monotonic() + TIMEOUT
        loaded = {"name": "load", "loaderId": loader}.items()
        while not any(e.get("sessionId") == session and loaded <= e["params"].items() for e in self.events):
            self.events.append(self.receive(deadline))

    def open(self, path=None, width=1400, height=900, dark=False):
        """A page of this size; None: an empty one."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session, width, height, dark)
        if path:
            page.go(path)
        return page


class Page:
    def __init__(self, browser, target, session, width, height, dark):
        self.browser, self.target, self.session, self.width = browser, target, session, width
        self.url = "about:blank"
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def go(self, path):
        """Loads a file, and forgets what happened before."""
        self.url = pathlib.Path(path).resolve().as_uri()
        self.browser.events.clear()
        self.browser.wait(self.session, self.call("Page.navigate", url=self.url)["loaderId"])

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def run(self, script):
        """The value of an expression of JavaScript."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}\n{result['exceptionDetails']}")
        return result["result"].get("value")

    def press(self, key):
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **text)

    def point(self, x, y):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path, whole=True):
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self.clip(whole))
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path).write_bytes(base64.b64decode(picture["data"]))

    def clip(self, whole):
        if not whole:
            return {}
        height = self.run("document.documentElement.scrollHeight")
        return {"clip": {"x": 0, "y": 0, "width": self.width, "height": height, "scale": 1}}

    def happened(self, method):
        return [
            e["params"] for e in self.browser.events if e["method"] == method and e.get("sessionId") == self.session
        ]

    @property
    def troubles(self):
        self.run("0")  # what was on its way has come
        return (
            [line["args"] for line in self.happened("Runtime.consoleAPICalled")]
            + [line["entry"]["text"] for line in self.happened("Log.entryAdded")]
            + [line["exceptionDetails"] for line in self.happened("Runtime.exceptionThrown")]
        )

    @property
    def requests(self):
        """Addresses asked for, but for the page itself and data: within it."""
        self.run("0")
        urls = [event["request"]["url"] for event in self.happened("Network.requestWillBeSent")]
        return [url for url in urls if url != self.url and not url.startswith("data:")]

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
