"""Limits of a route: its annotations before the defaults, nonsense before neither."""

import pytest

from pipeops.control.public.annotations import read_limits
from pipeops.control.public_settings import RouteDefaults
from tests.support.public_gateway import route

DEFAULTS = RouteDefaults(max_body=7, rate=3.0)


def test_without_annotations_the_defaults_count() -> None:
    limits = read_limits(route("a.example.com", tls=True), DEFAULTS)
    assert (limits.max_body, limits.rate, limits.burst, limits.ssl_redirect) == (7, 3.0, 6, True)
    assert not read_limits(route("a.example.com"), DEFAULTS).ssl_redirect


@pytest.mark.parametrize(
    ("name", "text", "attribute", "value"),
    [
        ("max-body-size", "10m", "max_body", 10 << 20), ("max-body-size", "1Gi", "max_body", 1 << 30),
        ("max-body-size", "0", "max_body", 0), ("response-timeout", "90s", "response_timeout", 90.0),
        ("response-timeout", "1500ms", "response_timeout", 1.5), ("idle-timeout", "2m", "idle_timeout", 120.0),
        ("idle-timeout", "30", "idle_timeout", 30.0), ("websocket-idle-timeout", "2h", "upgraded_idle_timeout", 7200.0),
        ("rate-limit", "0.5", "rate", 0.5), ("rate-limit-burst", "9", "burst", 9),
        ("max-concurrent-requests", "5", "max_concurrent", 5), ("hsts-max-age", "31536000", "hsts_max_age", 31536000),
        ("ssl-redirect", "false", "ssl_redirect", False), ("direct", "redirect", "direct_redirect", True),
        ("direct", "proxy", "direct_redirect", False),
    ],
)  # fmt: skip
def test_an_annotation_is_read(name: str, text: str, attribute: str, value: object) -> None:
    limits = read_limits(route("a.example.com", tls=True, annotations={name: text}), DEFAULTS)
    assert getattr(limits, attribute) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max-body-size", "lots"), ("max-body-size", "-1"), ("response-timeout", "0"), ("response-timeout", "48h"),
        ("rate-limit", "nan"), ("max-concurrent-requests", "0"), ("ssl-redirect", "yes"), ("direct", "maybe"),
        ("rate-limit-burst", "1e3"),
    ],
)  # fmt: skip
def test_nonsense_leaves_the_default(name: str, text: str) -> None:
    plain = read_limits(route("a.example.com"), DEFAULTS)
    assert read_limits(route("a.example.com", annotations={name: text}), DEFAULTS) == plain
