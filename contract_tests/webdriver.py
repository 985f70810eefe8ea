"""A headless Chromium driven over the WebDriver protocol, with as many of its calls as the page's tests need.

Source: W3C WebDriver (https://www.w3.org/TR/webdriver2/); the log call is Chromium's own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"),
    *("--disable-extensions", "--no-proxy-server", "--hide-scrollbars", "--window-size=1280,1000"),
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key of a reference to an element, as the protocol has it."""
ALL = "document.querySelectorAll(arguments[0])"
TAB, ENTER, ESCAPE, SPACE = "\ue004", "\ue007", "\ue00c", " "
FAINT = r"""
  const shine = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map((each) => each / 255).map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (each) => { for (; each; each = each.parentElement) { const color = getComputedStyle(each).backgroundColor; if (!/, 0\)$/.test(color)) return color; } return "rgb(255, 255, 255)"; };
  return [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility() && [...each.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
    .filter((each) => !each.closest("[aria-disabled=true], svg")).map((each) => {
      const [a, b] = [shine(getComputedStyle(each).color), shine(behind(each))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), each.outerHTML.slice(0, 120)];
    }).filter(([ratio]) => ratio < 4.5);
"""
"""What is too faint to be read, with its contrast."""
UNNAMED = r"""
  return [...document.querySelectorAll("button, a[href], input, [role=img], [role=region], section, dialog, nav")]
    .filter((each) => !(each.getAttribute("aria-label") || each.innerText || each.closest("label") || each.getAttribute("aria-labelledby"))).map((each) => each.outerHTML.slice(0, 120));
"""
"""What a screen reader has no name for."""
PATIENCE = 30.0
"""Seconds that a state of the page is waited for."""
State = Callable[[], Any]
"""Says by something true that the page is as it should be."""


def missing() -> str | None:
    """Why there is no browser to drive; None when there is one."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return (
        f"{' and '.join(absent)} not installed (Debian: apt-get install chromium chromium-driver)" if absent else None
    )


class Browser:
    """One browser window."""

    def __init__(self, http: httpx.Client, session: str) -> None:
        self._http = http
        self._session = session

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the protocol; fails with the driver's message."""
        answer = self._http.request(
            method, f"/session/{self._session}{path}", json={} if method == "POST" and body is None else body
        )
        value = answer.json()["value"]
        assert answer.status_code == 200, f"{method} {path}: {value['error']}: {value['message']}"
        return value

    def open(self, url: str) -> None:
        self.call("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a script's `return`; its arguments are `arguments[0]` and so on."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def value(self, expression: str, *arguments: Any) -> Any:
        return self.run(f"return {expression}", *arguments)

    def text(self, selector: str) -> str:
        """What an element shows."""
        shown: str = self.value("document.querySelector(arguments[0]).innerText", selector)
        return shown

    def all(self, selector: str, what: str) -> list[Any]:
        """What each of them has under a name, such as `title`."""
        found: list[Any] = self.value(f"[...{ALL}].map((each) => each.{what})", selector)
        return found

    def texts(self, selector: str) -> list[str]:
        return self.all(selector, "innerText")

    def visible(self, selector: str) -> int:
        """How many there are that can be seen."""
        found: int = self.value(f"[...{ALL}].filter((each) => each.checkVisibility()).length", selector)
        return found

    def focused(self) -> str:
        """The id of what has the focus, else its text."""
        at = "document.activeElement"
        found: str = self.value(f"{at}.id || {at}.innerText || {at}.dataset.key || {at}.tagName")
        return found

    def tab_to(self, wanted: str) -> None:
        """Press Tab until the focus is there."""
        for _ in range(60):
            if self.focused() == wanted:
                return
            self.press(TAB)
        raise AssertionError(f"Tab never leads to {wanted}")

    def press_on(self, selector: str, until: State | None = None) -> None:
        """Press Enter on an element."""
        self.run("document.querySelector(arguments[0]).focus()", selector)
        self.press(ENTER, until)

    def enter(self, selector: str, text: str, until: State | None = None) -> None:
        """Type into a field, or choose in a select box."""
        fill = "const box = document.querySelector(arguments[0]); box.value = arguments[1];"
        tell = "for (const kind of ['input', 'change']) box.dispatchEvent(new Event(kind))"
        self.run(fill + tell, selector, text)
        self.wait(until)

    def click(self, selector: str, until: State | None = None) -> None:
        """A click as a person makes it: on what is visible and not covered."""
        reference = self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", {ELEMENT: reference})
        self.call("POST", f"/element/{reference}/click")
        self.wait(until)

    def press(self, key: str, until: State | None = None) -> None:
        """Press a key, wherever the focus is."""
        strokes = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})
        self.wait(until)

    def wait(self, until: State | None) -> None:
        """Wait for a state of the page, if there is one to wait for."""
        end = time.monotonic() + PATIENCE
        while until is not None and not until():
            assert time.monotonic() < end, f"in vain waited for line {until.__code__.co_firstlineno}"
            time.sleep(0.02)

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What was logged since the last time: of `browser` the console, of `performance` the requests."""
        entries: list[dict[str, Any]] = self.call("POST", "/se/log", {"type": kind})
        return entries

    def requested(self) -> list[str]:
        """The addresses that were asked since the last time."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in sent]

    def devtools(self, command: str, **params: Any) -> Any:
        """A command of Chromium's own protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A new browser, whose profile and log are in `folder`."""
    log = folder / "chromedriver.log"
    command = [shutil.which("chromedriver") or "", "--port=0", f"--log-path={log}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        assert driver.stdout is not None
        try:
            line = next(line for line in driver.stdout if "started successfully on port" in line)
            port = int(line.rstrip().rstrip(".").rsplit(" ", 1)[1])
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
                flags = [*FLAGS, f"--user-data-dir={folder / 'profile'}"]
                logs = {"browser": "ALL", "performance": "ALL"}
                options = {"binary": shutil.which("chromium"), "args": flags}
                wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
                answer = http.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
                assert "sessionId" in answer, answer
                try:
                    yield Browser(http, answer["sessionId"])
                finally:
                    http.delete(f"/session/{answer['sessionId']}")
        finally:
            driver.terminate()
