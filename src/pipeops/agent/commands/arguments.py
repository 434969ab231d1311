"""The settings as command line flags: one parser for running and for every command."""

import argparse
from collections.abc import Sequence
from typing import Final, NoReturn

from pipeops.agent.settings import AgentSettings
from pipeops.runtime.setting_values import boolean
from pipeops.runtime.settings import defaults_of, describe_default, keys_of

PROGRAM: Final = "pipeops-agent"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in two lines instead of repeating the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Exit 2."""
        self.exit(2, f"{PROGRAM}: {message}\nSee {self.prog} --help.\n")


def settings_parser(command: str, description: str, epilog: str = "") -> Parser:
    """Return a parser that knows every flag of the settings; `command` may be empty."""
    parser = Parser(
        prog=f"{PROGRAM} {command}".strip(),
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
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


def parse(
    parser: Parser, argv: Sequence[str], *others: str
) -> tuple[dict[str, str], str | None, dict[str, str]]:
    """Return given flags by attribute, the settings file, and the command's own arguments `others`."""
    given = vars(parser.parse_args(argv))
    config = given.pop("config")
    own = {name: given.pop(name) for name in others}
    return {name: value for name, value in given.items() if value is not None}, config, own
