"""Command line of `pipeops-agent`: arguments to settings, errors to exit codes.

Exit codes: 0 stopped when asked, 1 failed, 2 wrong arguments or settings, 130 interrupted early.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final, TextIO

from pipeops import __version__
from pipeops.agent.commands.arguments import PROGRAM, Parser, parse, settings_parser
from pipeops.agent.commands.config import refuse
from pipeops.agent.settings import AgentSettings, load_settings
from pipeops.errors import PipeOpsError
from pipeops.runtime import logs
from pipeops.runtime.settings import SettingsError

Run = Callable[[AgentSettings], int]

#: Words to module and function; imported when called, since running the agent needs none of them.
COMMANDS: Final = {
    ("config", "show"): ("config", "show", "settings in effect, and where each is from"),
    ("config", "check"): ("config", "check", "is a settings file right?"),
    ("config", "validate"): ("config", "check", "the same"),
    ("diagnose",): ("diagnose", "diagnose", "checks the ways to control plane and cluster"),
    ("policy", "test"): ("policy", "test", "would the cluster's policy allow a request?"),
    ("status",): ("status", "status", "what the agent on this machine says of itself"),
    ("healthcheck",): ("status", "healthcheck", "exit 0 if it answers"),
    ("version",): ("status", "version", "version as JSON"),
}

_EPILOG: Final = """\
Every setting can also come from an environment variable (agent.port: AGENT_PORT) or from a YAML
file; the flag wins over the variable, the variable over the file. Durations are written 500ms, 30s
or 5m. The token is best given with --token-file or PIPEOPS_TOKEN.

Without a command, or with `run`, the agent runs. Commands (each has --help):
"""

log = logs.get_logger(__name__)


def main(argv: Sequence[str] | None = None, run: Run | None = None) -> int:
    """Run the agent or a command and return its exit code; `run` replaces the composition root in tests."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and not words[0].startswith("-") and words[0] != "run":
        return _command(words)
    flags, config, _ = parse(_parser(), words[1:] if words[:1] == ["run"] else words)
    try:
        loaded = load_settings(flags, config=config, standard_input=sys.stdin)
    except SettingsError as error:
        return refuse(error)
    settings = loaded.settings
    with ExitStack() as stack:
        stream = _log_stream(settings.log_output, stack, loaded.warnings)
        logs.configure(settings.log_level, form=_form(settings.log_format), stream=stream)
        for warning in loaded.warnings:
            log.warning("check the settings", advice=warning)
        return _run(settings, run, partial(_reread_level, flags, config))


def _command(words: Sequence[str]) -> int:
    name = next((name for name in COMMANDS if tuple(words[: len(name)]) == name), None)
    if name is None:
        known = ", ".join(" ".join(name) for name in COMMANDS)
        Parser(prog=PROGRAM).error(f"there is no command {' '.join(words[:2])!r}, only {known}")
    module, function, _ = COMMANDS[name]
    found = getattr(import_module(f"pipeops.agent.commands.{module}"), function)
    code: int = found(words[len(name) :])
    return code


def _reread_level(flags: dict[str, str], config: str | None) -> str | None:
    """The log level that the settings file says now; None, with a log line, if it cannot be read."""
    # The token may have come from standard input, which cannot be read twice.
    kept = {name: value for name, value in flags.items() if name != "token_file"}
    try:
        return load_settings({**kept, "token": "kept"}, config=config).settings.log_level
    except SettingsError as error:
        log.warning("settings not read again", problem=str(error.problems[0]))
        return None


def _run(settings: AgentSettings, run: Run | None, reread: Callable[[], str | None]) -> int:
    try:
        if run is None:
            # Imported late: `--help` and wrong settings need none of it.
            from pipeops.agent import app  # noqa: PLC0415

            run = partial(app.run, reread_level=reread)
        return run(settings)
    except SettingsError as error:
        return refuse(error)
    except PipeOpsError as error:
        log.error("the agent stops", error=str(error))  # noqa: TRY400 -- a traceback helps nobody
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        log.critical("the agent stops: this is a bug", error=str(error), exc_info=error)
        return 1


def _parser() -> Parser:
    parser = settings_parser(
        "",
        "Connects a Kubernetes cluster to its PipeOps control plane, outbound only.",
        _EPILOG
        + "\n".join(f"  {' '.join(name):<16} {says}" for name, (_, _, says) in COMMANDS.items()),
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _form(word: str) -> logs.Format:
    return "json" if word == "json" else "text" if word == "text" else "auto"


def _log_stream(where: str, stack: ExitStack, warnings: list[str]) -> TextIO:
    if where in {"stderr", ""}:
        return sys.stderr
    if where == "stdout":
        return sys.stdout
    try:
        return stack.enter_context(Path(where).open("a", encoding="utf-8"))
    except OSError as error:
        warnings.append(f"logging.output {where}: {error.strerror}; using stderr")
        return sys.stderr
