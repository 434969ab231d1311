"""A headless Chromium driven over its debugging pipe (Chrome DevTools Protocol), without any driver program."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.processes import die_with_parent
from tests.support.stack import environment

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
TIMEOUT = 30.0  # seconds for one answer; a busy machine is slow


def find_browser() -> str | None:
    """A Chromium on this machine, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of one browser. What its console says is kept in `console`."""

    def __init__(self, program: str, directory: Path) -> None:
        self.console: list[str] = []
        self._received = b""
        self._calls = 0
        self._session = ""
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self._in, self._out = ours_in, ours_out
        os.set_inheritable(theirs_in, True)
        os.set_inheritable(theirs_out, True)

        def child() -> None:
            die_with_parent()
            # Duplicated out of the way first: the pipes' own numbers may be 3 or 4.
            copies = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(copies[0], 3)
            os.dup2(copies[1], 4)

        arguments = [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
            "--disable-dev-shm-usage", "--remote-debugging-pipe", f"--user-data-dir={directory}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            env=environment(HOME=str(directory)),
            start_new_session=True,
            preexec_fn=child,  # noqa: PLW1509 - the debugging pipe must have the numbers 3 and 4
        )
        os.close(theirs_in)
        os.close(theirs_out)
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def look(self, *, width: int, height: int, dark: bool) -> None:
        """Size of the window, and which theme the person prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Go to a page; returns at once."""
        self.call("Page.navigate", url=url)

    def run(self, expression: str) -> Any:
        """What a JavaScript expression is, as JSON allows."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """Text of an element, empty when there is none."""
        return str(
            self.run(f"(document.querySelector({json.dumps(selector)}) || {{}}).innerText || ''")
        )

    def wait(self, expression: str, timeout: float = TIMEOUT) -> None:
        """Until a JavaScript expression is true.

        Raises:
            TimeoutError: it does not become true.
        """
        until = time.monotonic() + timeout
        while not self.run(expression):
            if time.monotonic() > until:
                raise TimeoutError(f"{expression}\n{self.text('body')[:2000]}\n{self.console}")
            time.sleep(0.1)

    def press(self, key: str) -> None:
        """One key, as Tab or Enter."""
        code = {"Tab": 9, "Enter": 13, " ": 32}[key]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def call(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol and its result."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            answer = self._next()
            if answer.get("id") == self._calls:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._keep(answer)
        raise TimeoutError(method)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            data = os.read(self._in, 1 << 16)
            if not data:
                raise RuntimeError("the browser has ended")
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def _keep(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event.get("method") == "Log.entryAdded":
            self.console.append(parameters["entry"]["text"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.console.append(json.dumps(parameters["exceptionDetails"])[:1000])
        elif event.get("method") == "Runtime.consoleAPICalled":
            self.console.append(json.dumps(parameters["args"])[:1000])
