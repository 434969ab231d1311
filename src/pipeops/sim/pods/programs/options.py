"""Command-line options as getopt cuts them."""

import getopt

from pipeops.sim.pods.process import Process


class UsageError(Exception):
    """The options are wrong; the program ends with code 1 and this text."""


def options(
    process: Process, short: str, long: tuple[str, ...] = (), *, mixed: bool = True
) -> tuple[dict[str, str], list[str]]:
    """Options by name (`-n`, `--name`) and what remains. UsageError names an unknown one."""
    parse = getopt.gnu_getopt if mixed else getopt.getopt
    try:
        found, rest = parse(process.argv[1:], short, list(long))
    except getopt.GetoptError as error:
        message = str(error)
        if not error.opt.startswith("-") and len(error.opt) == 1:
            message = message.replace("option -", "invalid option -- ", 1)
        raise UsageError(message) from error
    return dict(found), rest


def number(text: str, what: str) -> int:
    """A whole number with the suffixes k, M and G (times 1024); UsageError otherwise."""
    factors = {"k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    factor = factors.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.lstrip("+-").isdigit() or len(digits) > 18:
        raise UsageError(f"invalid {what}: '{text}'")
    return int(digits) * factor
