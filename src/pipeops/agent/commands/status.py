"""`version`, `status` and `healthcheck`: what runs here, asked over its local HTTP server."""

import http.client
import platform
import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pipeops import __version__
from pipeops.agent.commands.arguments import parse, settings_parser
from pipeops.agent.commands.config import refuse
from pipeops.agent.settings import load_settings
from pipeops.runtime.build import this_build
from pipeops.runtime.settings import SettingsError

SECONDS: Final = 5.0
MAX_ANSWER: Final = 1 << 20


def version(argv: Sequence[str]) -> int:
    """Print what the program is, as `/version` does."""
    parser = settings_parser("version", "Prints the version as JSON.")
    parser.parse_args(argv)
    build = this_build()
    answer = {
        "version": __version__,
        "git_commit": build.commit,
        "build_date": build.date,
        "implementation": "python",
        "python_version": platform.python_version(),
    }
    print(msgspec.json.encode(answer).decode())
    return 0


def status(argv: Sequence[str]) -> int:
    """Print what the agent on this machine says of itself; 0 if it is ready."""
    return _ask(argv, "status", "Asks the agent that runs on this machine.", "/ready", show=True)


def healthcheck(argv: Sequence[str]) -> int:
    """Exit 0 if the agent on this machine answers; for probes."""
    return _ask(argv, "healthcheck", "Exits 0 if the agent answers.", "/health", show=False)


def _ask(argv: Sequence[str], command: str, description: str, path: str, *, show: bool) -> int:
    parser = settings_parser(command, description)
    flags, config, _ = parse(parser, argv)
    try:
        port = load_settings(flags, config=config, needs_token=False).settings.port
    except SettingsError as error:
        return refuse(error)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(MAX_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        print(f"pipeops-agent: no agent answers on port {port}: {why}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    if show:
        print(_pretty(body))
    return 0 if answer.status == 200 else 1


def _pretty(body: bytes) -> Any:
    try:
        return msgspec.json.format(body, indent=2).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")
