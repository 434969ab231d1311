"""Turning what people write into values: each parser says in words what it expects.

Input is text (flag, environment) or a YAML scalar (file). A parser raises `ValueError` whose text
completes the sentence "expected …"; the loader adds key and source, and never shows a secret.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import urlsplit

from pipeops.runtime.secrets import Secret

Parse = Callable[[object], object]
N = TypeVar("N", int, float)

_TRUE: Final = frozenset({"1", "t", "true", "yes", "y", "on"})
_FALSE: Final = frozenset({"0", "f", "false", "no", "n", "off"})
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip


def text(value: object) -> str:
    """Any text; numbers from a file count as text."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError("text")


def secret(value: object) -> Secret[str]:
    """Text that is never shown; from a file it must be quoted if it looks like a number."""
    if not isinstance(value, str):
        raise ValueError("text (put quotes around it)")  # noqa: TRY004 -- the loader's contract
    return Secret(value.strip())


def boolean(value: object) -> bool:
    """Go's and YAML's words for true and false."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("true or false")


def integer(low: int, high: int) -> Parse:
    """Whole numbers from `low` to `high`."""

    def parse(value: object) -> int:
        expected = f"a whole number from {low} to {high}"
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(expected)  # noqa: TRY004 -- the loader's contract
        try:
            number = int(value) if isinstance(value, int) else int(value.strip(), 0)
        except ValueError:
            raise ValueError(expected) from None
        if not low <= number <= high:
            raise ValueError(expected)
        return number

    return parse


class Duration:
    """Durations such as `500ms`, `30s`, `1m30s`, in seconds; a bare number counts in `unit`.

    `plain`: the setting is a number of that unit by tradition, so that a bare one needs no remark.
    """

    def __init__(
        self, low: float = 0.0, high: float = 86_400.0, *, unit: str = "s", plain: bool = False
    ) -> None:
        self._low, self._high = low, high
        self._unit = unit
        self._plain = plain

    def __call__(self, value: object) -> float:
        """Parse; see `Parse`."""
        low, high = self._low, self._high
        expected = f"a duration such as 500ms, 30s or 5m, from {low:g} s to {high:g} s"
        seconds = _seconds(value, _UNITS[self._unit])
        if seconds is None or not low <= seconds <= high:
            raise ValueError(expected)
        return seconds

    def remark(self, value: object) -> str:
        """Return what to say about a number without a unit, which other programs read as nanoseconds."""
        bare = value.strip() if isinstance(value, str) else str(value)
        if self._plain or not bare.replace(".", "", 1).isdigit() or float(bare) == 0:
            return ""
        return f"{bare} has no unit and is taken as {bare}{self._unit}; write the unit"


def duration(
    low: float = 0.0, high: float = 86_400.0, *, unit: str = "s", plain: bool = False
) -> Duration:
    """Return the parser `Duration`."""
    return Duration(low, high, unit=unit, plain=plain)


def choice(*words: str) -> Parse:
    """One of some words, in any case."""

    def parse(value: object) -> str:
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError("one of " + ", ".join(words))
        return word

    return parse


def url(*schemes: str) -> Parse:
    """An absolute URL with one of these schemes; no user and password in it."""

    def parse(value: object) -> str:
        expected = f"a URL such as {schemes[0]}://control.example.com ({', '.join(schemes)})"
        if not isinstance(value, str):
            raise ValueError(expected)  # noqa: TRY004 -- the loader's contract
        try:
            parts = urlsplit(value.strip())
            port = parts.port
        except ValueError:
            raise ValueError(expected) from None
        if parts.scheme not in schemes or not parts.hostname or port == 0:
            raise ValueError(expected)
        if parts.username or parts.password:
            raise ValueError(f"{expected}, without a user name or password in it")
        return value.strip()

    return parse


def mapping(value: object) -> dict[str, str]:
    """A map of text to text: from a file a mapping, else `key=value,key=value`."""
    expected = "a mapping of text to text, or key=value,key=value"
    if isinstance(value, Mapping):
        if any(isinstance(item, Mapping | list) or item is None for item in value.values()):
            raise ValueError(expected)
        return {str(key): _scalar(item) for key, item in value.items()}
    if not isinstance(value, str):
        raise ValueError(expected)  # noqa: TRY004 -- the loader's contract
    result = {}
    for part in filter(None, (part.strip() for part in value.split(","))):
        key, equals, item = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(expected)
        result[key.strip()] = item.strip()
    return result


def words(value: object) -> tuple[str, ...]:
    """A list of text: from a file a list, else separated by commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return tuple(str(item).strip() for item in value)
    raise ValueError("a list of text, or text separated by commas")


def _scalar(item: object) -> str:
    # YAML reads `true` and `on` as booleans; in a label they are words.
    return str(item).lower() if isinstance(item, bool) else str(item)


def _seconds(value: object, bare_unit: float) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) * bare_unit
    if not isinstance(value, str):
        return None
    written = value.strip()
    if not written or len(written) > 64:
        return None
    if written.isascii() and written.replace(".", "", 1).isdigit():
        return float(written) * bare_unit
    if _DURATION.sub("", written):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(written))
