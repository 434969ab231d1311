"""RouteLimits: what one route may cost, from the settings' defaults and the annotations of its Ingress."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pipeops.control.public_settings import RouteDefaults
from pipeops.control.routes.route import Route
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

PREFIX = "pipeops.io/"
MAX_TIMEOUT = 24 * 3600.0

_SIZE = re.compile(r"([0-9]{1,15})([kmgKMG]?)i?[bB]?")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)?")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """The limits of one route; the fields of RouteDefaults, and what only an Ingress can say.

    Attributes:
        ssl_redirect: plain HTTP is sent to HTTPS.
        direct_redirect: of a direct route: clients are sent to the load balancer; None: as the settings say.
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


def read_limits(route: Route, defaults: RouteDefaults) -> RouteLimits:
    """Read a route's annotations; one that makes no sense is logged, and the default counts."""
    read = _Reader(route.annotations, f"{route.key.host or '*'}{route.key.path}")
    rate = read.value("rate-limit", _number, defaults.rate)
    burst = read.value("rate-limit-burst", _count, defaults.burst or int(rate * 2))
    return RouteLimits(
        max_body=read.value("max-body-size", _size, defaults.max_body),
        max_concurrent=read.value("max-concurrent-requests", _positive, defaults.max_concurrent),
        rate=rate,
        burst=max(burst, 1),
        response_timeout=read.value("response-timeout", _duration, defaults.response_timeout),
        idle_timeout=read.value("idle-timeout", _duration, defaults.idle_timeout),
        upgraded_idle_timeout=read.value(
            "websocket-idle-timeout", _duration, defaults.upgraded_idle_timeout
        ),
        hsts_max_age=read.value("hsts-max-age", _count, defaults.hsts_max_age),
        ssl_redirect=read.value("ssl-redirect", _flag, route.tls),
        direct_redirect=read.value("direct", _direct, None),
    )


class _Reader:
    def __init__(self, annotations: Mapping[str, str], route: str) -> None:
        self._annotations = annotations
        self._route = route

    def value(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self._annotations.get(PREFIX + name)
        if text is None:
            return default
        try:
            return parse(text.strip())
        except ValueError as error:
            log.warning(
                "annotation ignored", route=self._route, annotation=PREFIX + name, reason=str(error)
            )
            return default


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("expected bytes, for example 10m")
    return int(match[1]) * _UNITS[match[2].lower()]


def _duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _SECONDS[match[2]] if match is not None else 0.0
    if not 0 < seconds <= MAX_TIMEOUT:
        raise ValueError("expected a time up to a day, for example 30s")
    return seconds


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise ValueError("expected a whole number")
    return int(text)


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
