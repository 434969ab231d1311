"""structlog set-up: one pipeline for our records and the standard library's, redacted and bounded.

A record has a constant event name and fields: `log.info("tunnel connected", lane=0, rtt_ms=12)`.
As JSON its keys are `time` (UTC), `level`, `msg`, then the fields.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import msgspec
import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.typing import FilteringBoundLogger

from pipeops.runtime import redaction

Logger = FilteringBoundLogger
Format = Literal["auto", "json", "text"]

LEVELS: Final = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
    "critical": logging.CRITICAL,
}
_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}


def get_logger(name: str) -> Logger:
    """Return the logger of a module; it follows `configure`, whenever that is called."""
    logger: Logger = structlog.get_logger(component=name.removeprefix("pipeops."))
    return logger


def library_logger(name: str, level: int = logging.WARNING) -> logging.Logger:
    """The standard-library logger of a network library that is too talkative below `level`.

    Exceptions it logs are the doing of peers, not bugs: they are said in a line, without a traceback.
    """
    logger = logging.getLogger(name)
    logger.setLevel(level)
    if _in_a_line not in logger.filters:
        logger.addFilter(_in_a_line)
    return logger


def _in_a_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        record.msg, record.args = "%s: %s", (record.getMessage(), error)
        record.exc_info = None
    return True


def bind_context(**fields: object) -> AbstractContextManager[None]:
    """Add `fields` to every record of the current task while the `with` block runs."""
    return bound_contextvars(**fields)


def configure(level: str = "info", *, form: Format = "auto", stream: TextIO | None = None) -> None:
    """Set up logging for the whole process; call it once, before anything logs.

    Args:
        level: one of `LEVELS`, in any case; an unknown word warns and means `info`.
        form: `json` lines, `text` for people, or `auto`: text on a terminal, else JSON.
        stream: where to write; standard error by default.
    """
    out = stream if stream is not None else sys.stderr
    terminal = out.isatty()
    text = form == "text" or (form == "auto" and terminal)
    number = LEVELS.get(level.lower(), logging.INFO)
    structlog.configure(
        processors=[
            merge_contextvars,
            structlog.processors.add_log_level,
            _add_traceback,
            _redact,
            _TextRenderer(colour=terminal) if text else _render_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_LineWriter(out),
        cache_logger_on_first_use=False,
    )
    _route_standard_library(number)
    if level.lower() not in LEVELS:
        get_logger(__name__).warning("unknown log level, using info", level_given=level)


def set_level(level: str) -> bool:
    """Change the level of a configured process; False, and no change, if the word is unknown."""
    number = LEVELS.get(level.lower())
    if number is None:
        return False
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))
    logging.getLogger().setLevel(max(number, logging.INFO))
    return True


@contextmanager
def tapped(tap: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """While the block runs, `tap` sees every finished record: redacted, with `time`, `level`, `msg` and its fields.

    It is called in the thread that logs, must be quick, and must neither keep nor change the mapping, nor log.
    """

    def see(_: object, __: str, event: Event) -> Event:
        tap(event)
        return event

    *front, renderer = structlog.get_config()["processors"]
    structlog.configure(processors=[*front, see, renderer])
    try:
        yield
    finally:
        processors = structlog.get_config()["processors"]
        structlog.configure(processors=[each for each in processors if each is not see])


class _LineWriter:
    """Writes finished lines; a closed or broken stream must never take the program down."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, *_: object) -> "_LineWriter":
        return self

    def msg(self, line: str) -> None:
        try:
            with self._lock:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            return  # nowhere left to report it

    debug = info = warning = error = critical = fatal = log = msg


Event = MutableMapping[str, Any]


def _add_traceback(_: object, __: str, event: Event) -> Event:
    """Turn `exc_info` into a bounded `exception` text."""
    info = event.pop("exc_info", None)
    if not info:
        return event
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    elif not isinstance(info, tuple):
        info = sys.exc_info()
    if isinstance(info[1], BaseException):  # a class in its place has no traceback to show
        trace = logging.Formatter().formatException(info)
        # The end of a traceback says what happened; keep that.
        event["exception"] = redaction.redact_text(
            trace[-redaction.MAX_TRACEBACK :], redaction.MAX_TRACEBACK
        )
    return event


def _redact(_: object, __: str, event: Event) -> Event:
    trace = event.pop("exception", None)
    level = event.pop("level")
    message = redaction.redact_text(str(event.pop("event", "")))
    result: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z",
        "level": level,
        "msg": message,
    }
    for key, value in redaction.redact_fields(dict(event)).items():
        result[f"fields.{key}" if key in result else key] = value
    if trace is not None:
        result["exception"] = trace
    return result


def _render_json(_: object, __: str, event: Event) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode("utf-8", "replace")


class _TextRenderer:
    """One line for people: time, level, message, fields; a traceback follows on its own lines."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(self, _: object, __: str, event: Event) -> str:
        trace = event.pop("exception", None)
        clock = str(event.pop("time"))[11:19]
        level = str(event.pop("level"))
        label = f"{level:<8}"
        if self._colour:
            label = f"\x1b[{_COLOURS.get(level, '0')}m{label}\x1b[0m"
        parts = [clock, label, _printable(str(event.pop("msg")))]
        event.pop("component", None)
        parts += [f"{_printable(key)}={_text(value)}" for key, value in event.items()]
        line = " ".join(parts)
        return f"{line}\n{trace}" if trace is not None else line


def _text(value: object) -> str:
    if isinstance(value, str):
        plain = value.isprintable() and value and not any(mark in value for mark in ' "=')
        return value if plain else msgspec.json.encode(_printable(value)).decode()
    return _printable(msgspec.json.encode(value, enc_hook=str).decode("utf-8", "replace"))


def _printable(text: str) -> str:
    """Escape what could move a terminal's cursor or fake a second line."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


class _StandardLibraryHandler(logging.Handler):
    """Sends records of the `logging` module through our pipeline."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger(component=record.name).log(
                record.levelno, record.getMessage(), exc_info=record.exc_info
            )
        except Exception:  # noqa: BLE001 -- a record that cannot be formatted must not end its caller
            self.handleError(record)


def _route_standard_library(level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_StandardLibraryHandler()]
    root.setLevel(max(level, logging.INFO))
    logging.captureWarnings(capture=True)
