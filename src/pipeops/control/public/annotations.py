"""RouteLimits: what one route may cost, from the settings' defaults and the annotations of its Ingress."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pipeops.control.public_settings import RouteCeilings, RouteDefaults
from pipeops.control.routes.route import Route

PREFIX = "pipeops.io/"
MAX_SHOWN = 40  # characters of a value in a warning

_SIZE = re.compile(r"([0-9]{1,15})([kmgKMG]?)i?[bB]?")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)?")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}

T = TypeVar("T")
N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """The limits of one route; the fields of RouteDefaults, and what only an Ingress can say.

    Attributes:
        ssl_redirect: plain HTTP is sent to HTTPS.
        direct_redirect: of a direct route: clients are sent to the load balancer; None: as the settings say.
        warnings: annotations that do not count as they are written, each with the reason.
    """

    max_body: int
    max_concurrent: int
    rate: float
    burst: int
    response_timeout: float
    idle_timeout: float
    upgraded_idle_timeout: float
    hsts_max_age: int
    ssl_redirect: bool
    direct_redirect: bool | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)


def read_limits(route: Route, defaults: RouteDefaults, ceilings: RouteCeilings) -> RouteLimits:
    """Read a route's annotations. One that makes no sense leaves the default, one beyond its ceiling the ceiling; `warnings` name both."""
    read = _Reader(route.annotations)
    rate = read.bounded("rate-limit", _number, defaults.rate, ceilings.rate)
    usual = defaults.burst or _burst_of(rate)
    most = _burst_of(ceilings.rate) if ceilings.rate else 0
    burst = read.bounded("rate-limit-burst", _burst, usual, most)
    return RouteLimits(
        max_body=read.bounded("max-body-size", _size, defaults.max_body, ceilings.max_body),
        max_concurrent=read.bounded(
            "max-concurrent-requests", _positive, defaults.max_concurrent, ceilings.max_concurrent
        ),
        rate=rate,
        burst=burst,
        response_timeout=read.bounded(
            "response-timeout", _duration, defaults.response_timeout, ceilings.response_timeout
        ),
        idle_timeout=read.bounded(
            "idle-timeout", _duration, defaults.idle_timeout, ceilings.idle_timeout
        ),
        upgraded_idle_timeout=read.bounded(
            "websocket-idle-timeout",
            _duration,
            defaults.upgraded_idle_timeout,
            ceilings.upgraded_idle_timeout,
        ),
        hsts_max_age=read.value("hsts-max-age", _count, defaults.hsts_max_age),
        ssl_redirect=read.value("ssl-redirect", _flag, route.tls),
        direct_redirect=read.value("direct", _direct, None),
        warnings=tuple(read.warnings),
    )


class _Reader:
    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._annotations = annotations
        self.warnings: list[str] = []

    def value(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self._annotations.get(PREFIX + name)
        if text is None:
            return default
        try:
            return parse(text.strip())
        except ValueError as error:
            self.warnings.append(f"{PREFIX}{name}: ignored, {error}")
            return default

    def bounded(self, name: str, parse: Callable[[str], N], default: N, ceiling: N) -> N:
        """Of a number; 0 stands for any, as a value and as a ceiling."""
        asked = self.value(name, parse, default)
        if not ceiling or 0 < asked <= ceiling:
            return asked
        if asked != default:
            shown = self._annotations[PREFIX + name].strip()[:MAX_SHOWN]
            self.warnings.append(
                f"{PREFIX}{name}: {shown!r} is more than this control plane allows, {ceiling:g} counts"
            )
        return ceiling


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("expected bytes, for example 10m")
    return int(match[1]) * _UNITS[match[2].lower()]


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match is not None else 0.0
    if not seconds:
        raise ValueError("expected a time, for example 30s")
    return seconds


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise ValueError("expected a whole number")
    return int(text)


def _burst(text: str) -> int:
    return max(_count(text), 1)


def _burst_of(rate: float) -> int:
    """Two seconds' worth; with less than one request nobody would ever be admitted, and 0 would stand for any."""
    return max(int(rate * 2), 1)


def _positive(text: str) -> int:
    number = _count(text)
    if not number:
        raise ValueError("expected a number above 0")
    return number


def _number(text: str) -> float:
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text) is None:
        raise ValueError("expected requests a second, for example 20")
    return float(text)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("expected true or false")
    return text == "true"


def _direct(text: str) -> bool | None:
    if text not in ("proxy", "redirect"):
        raise ValueError("expected proxy or redirect")
    return text == "redirect"
