"""A real browser for tests: headless Chromium, spoken to by the WebDriver protocol.

The protocol is JSON over HTTP (https://www.w3.org/TR/webdriver2/), so the
standard library is all it takes. Each `Browser` has a profile of its own in a
temporary directory and ends with its ``with`` block.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.request import HTTPErrorProcessor, ProxyHandler, Request, build_opener

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

#: The key under which the protocol hides the name of an element.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-dev-shm-usage", "--window-size=1400,950",
    # Whatever a page asks for by network, it gets no answer.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip


class Browser:
    """One window. Elements are named by CSS selectors; every call waits for its answer."""

    def __init__(self, session: str) -> None:
        self.session = session

    def open(self, url: str) -> None:
        """Load a page, wait until it has loaded, and forget the messages of the one before."""
        self.messages()
        _call("POST", f"{self.session}/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run the body of a function in the page and return its value."""
        return _call(
            "POST", f"{self.session}/execute/sync", {"script": script, "args": list(arguments)}
        )

    def texts(self, selector: str) -> list[str]:
        """Give the text of every element, whether it is in sight or not."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        return [str(each) for each in self.run(script, selector)]

    def click(self, selector: str) -> None:
        """Click the first element as a pointer does: fails where something covers it."""
        element = self._find(selector)
        _call("POST", f"{self.session}/element/{element}/click", {})

    def press(self, keys: str) -> None:
        """Send keys to whatever has the focus."""
        active = _call("GET", f"{self.session}/element/active")[_ELEMENT]
        _call("POST", f"{self.session}/element/{active}/value", {"text": keys})

    def dialog(self) -> str | None:
        """Give the text of an open alert; None where there is none."""
        try:
            return str(_call("GET", f"{self.session}/alert/text"))
        except BrowserError as error:
            if "no such alert" in str(error):
                return None
            raise

    def messages(self) -> list[str]:
        """Give what the page wrote to the console since the last call, violations included."""
        entries = _call("POST", f"{self.session}/se/log", {"type": "browser"})
        return [str(entry["message"]) for entry in entries]

    def devtools(self, command: str, **parameters: object) -> Any:  # noqa: ANN401 - as `run`
        """Send one command of Chromium's own protocol."""
        body = {"cmd": command, "params": parameters}
        return _call("POST", f"{self.session}/goog/cdp/execute", body)

    def _find(self, selector: str) -> str:
        body = {"using": "css selector", "value": selector}
        return str(_call("POST", f"{self.session}/element", body)[_ELEMENT])


class BrowserError(Exception):
    """The driver said no; the message is its own."""


class _AnyStatus(HTTPErrorProcessor):
    """Hands answers on whatever their status is."""

    def http_response(self, request: Request, response: Any) -> Any:  # noqa: ANN401 - as in urllib
        del request
        return response


@contextmanager
def chromium(folder: Path) -> Generator[Browser, None, None]:
    """Start Chromium with its profile below ``folder``, and end it and its driver afterwards."""
    driver, program = _program("chromedriver"), _program("chromium")
    with subprocess.Popen(
        [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            base = f"http://127.0.0.1:{_port(process)}"
            options = {
                "binary": program,
                "args": [*_FLAGS, f"--user-data-dir={folder / 'profile'}"],
            }
            wanted = {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
                "unhandledPromptBehavior": "ignore",
            }
            made = _call("POST", f"{base}/session", {"capabilities": {"alwaysMatch": wanted}})
            session = f"{base}/session/{made['sessionId']}"
            try:
                yield Browser(session)
            finally:
                _call("DELETE", session)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BrowserError(f"no {name} on PATH: ./dev setup installs it")
    return found


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        match = re.search(r"started successfully on port (\d+)", line)
        if match:
            return int(match[1])
    raise BrowserError(f"chromedriver ended at once, with status {process.wait()}")


def _call(method: str, url: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data=data, method=method)  # noqa: S310 - always our driver's address
    request.add_header("Content-Type", "application/json")
    # Never through a proxy; errors of the protocol come with a status that urllib raises.
    opener = build_opener(ProxyHandler({}), _AnyStatus())
    with opener.open(request, timeout=60) as answer:
        value = json.load(answer)["value"]
    if isinstance(value, dict) and "error" in value:
        raise BrowserError(f"{value['error']}: {value.get('message', '')}")
    return value
