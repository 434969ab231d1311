"""Command line of `pipeops-agent`: arguments to settings, errors to exit codes.

Exit codes: 0 stopped when asked, 1 failed, 2 wrong arguments or settings, 130 interrupted early.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NoReturn, TextIO

from pipeops import __version__
from pipeops.agent.settings import AgentSettings, load_settings
from pipeops.errors import PipeOpsError
from pipeops.runtime import logs
from pipeops.runtime.setting_values import boolean
from pipeops.runtime.settings import SettingsError, defaults_of, describe_default, keys_of

Run = Callable[[AgentSettings], int]

_EPILOG: Final = """\
Every setting can also come from an environment variable (agent.port: AGENT_PORT) or from a YAML
file; the flag wins over the variable, the variable over the file. Durations are written 500ms, 30s
or 5m. The token is best given with --token-file or PIPEOPS_TOKEN.
"""

log = logs.get_logger(__name__)


def main(argv: Sequence[str] | None = None, run: Run | None = None) -> int:
    """Run the agent and return its exit code; `run` replaces the composition root in tests."""
    arguments = vars(_parser().parse_args(argv))
    config = arguments.pop("config")
    flags = {name: value for name, value in arguments.items() if value is not None}
    try:
        loaded = load_settings(flags, config=config, standard_input=sys.stdin)
    except SettingsError as error:
        return _refuse(error)
    settings = loaded.settings
    with ExitStack() as stack:
        stream = _log_stream(settings.log_output, stack, loaded.warnings)
        logs.configure(settings.log_level, form=_form(settings.log_format), stream=stream)
        for warning in loaded.warnings:
            log.warning("check the settings", advice=warning)
        return _run(settings, run)


def _run(settings: AgentSettings, run: Run | None) -> int:
    try:
        if run is None:
            # Imported late: `--help` and wrong settings need none of it.
            from pipeops.agent import app  # noqa: PLC0415

            run = app.run
        return run(settings)
    except SettingsError as error:
        return _refuse(error)
    except PipeOpsError as error:
        log.error("the agent stops", error=str(error))  # noqa: TRY400 -- a traceback helps nobody
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        log.critical("the agent stops: this is a bug", error=str(error), exc_info=error)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pipeops-agent",
        description="Connects a Kubernetes cluster to its PipeOps control plane, outbound only.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pipeops-agent {__version__}")
    parser.add_argument("--config", metavar="FILE", help="settings file (YAML)")
    defaults = defaults_of(AgentSettings)
    for attribute, key in keys_of(AgentSettings).items():
        if not key.flag:
            continue
        default = "" if key.secret else describe_default(defaults[attribute])
        words = f"{key.help} [{key.variables[0]}]" + (f" (default {default})" if default else "")
        words = words.replace("%", "%%")
        if key.parse is boolean:
            # As Go's flags: --x, --x=true, --x=false.
            parser.add_argument(
                key.flag, dest=attribute, nargs="?", const="true", metavar="BOOL", help=words
            )
        else:
            parser.add_argument(key.flag, dest=attribute, metavar=key.placeholder, help=words)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in two lines instead of repeating the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"pipeops-agent: {message}\nSee pipeops-agent --help.\n")


def _refuse(error: SettingsError) -> int:
    lines = [f"pipeops-agent: {len(error.problems)} setting(s) cannot be used:"]
    lines += [f"  - {problem}" for problem in error.problems]
    with suppress(OSError):
        print("\n".join(lines), file=sys.stderr)
    return 2


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
