"""Limits of a route: its annotations before the defaults, nonsense before neither."""

from dataclasses import replace

import pytest

from pipeops.control.public.annotations import read_limits
from pipeops.control.public_settings import RouteCeilings, RouteDefaults
from tests.support.public_gateway import route

DEFAULTS = RouteDefaults(max_body=7, rate=3.0)
NONE = RouteCeilings(max_concurrent=0, response_timeout=0, idle_timeout=0, upgraded_idle_timeout=0)


def test_without_annotations_the_defaults_count() -> None:
    limits = read_limits(route("a.example.com", tls=True), DEFAULTS, NONE)
    assert (limits.max_body, limits.rate, limits.burst, limits.ssl_redirect) == (7, 3.0, 6, True)
    assert not read_limits(route("a.example.com"), DEFAULTS, NONE).ssl_redirect


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
    limits = read_limits(route("a.example.com", tls=True, annotations={name: text}), DEFAULTS, NONE)
    assert getattr(limits, attribute) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max-body-size", "lots"), ("max-body-size", "-1"), ("response-timeout", "0"),
        ("rate-limit", "nan"), ("max-concurrent-requests", "0"), ("ssl-redirect", "yes"), ("direct", "maybe"),
        ("rate-limit-burst", "1e3"),
    ],
)  # fmt: skip
def test_nonsense_leaves_the_default(name: str, text: str) -> None:
    plain = read_limits(route("a.example.com"), DEFAULTS, NONE)
    limits = read_limits(route("a.example.com", annotations={name: text}), DEFAULTS, NONE)
    assert limits == plain
    assert plain.warnings == ()
    [warning] = limits.warnings
    assert warning.startswith(f"pipeops.io/{name}: ignored, expected ")


CEILINGS = RouteCeilings(
    max_body=1 << 20, max_concurrent=50, rate=10.0, response_timeout=600, idle_timeout=700, upgraded_idle_timeout=800,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "attribute", "value"),
    [
        ("max-body-size", "10m", "max_body", 1 << 20), ("max-body-size", "0", "max_body", 1 << 20), ("response-timeout", "48h", "response_timeout", 600),
        ("idle-timeout", "20m", "idle_timeout", 700), ("websocket-idle-timeout", "24h", "upgraded_idle_timeout", 800), ("rate-limit", "11", "rate", 10.0),
        ("rate-limit", "0", "rate", 10.0), ("rate-limit-burst", "1000000", "burst", 20), ("max-concurrent-requests", "51", "max_concurrent", 50),
    ],
)  # fmt: skip
def test_no_annotation_gets_beyond_the_ceiling_and_one_that_tries_is_named(
    name: str, text: str, attribute: str, value: float
) -> None:
    limits = read_limits(route("a.example.com", annotations={name: text}), DEFAULTS, CEILINGS)
    assert getattr(limits, attribute) == value
    [warning] = limits.warnings
    assert warning.startswith(
        f"pipeops.io/{name}: '{text}' is more than this control plane allows, "
    )


def test_a_default_beyond_the_ceiling_is_cut_without_a_word() -> None:
    limits = read_limits(route("a.example.com"), RouteDefaults(), CEILINGS)
    assert (limits.max_body, limits.rate, limits.max_concurrent, limits.idle_timeout) == (
        1 << 20,
        10.0,
        50,
        300.0,
    )
    assert (limits.burst, limits.warnings) == (20, ())


def test_below_the_ceiling_an_annotation_counts() -> None:
    asked = {"max-body-size": "1m", "rate-limit": "10", "response-timeout": "600s"}
    limits = read_limits(route("a.example.com", annotations=asked), DEFAULTS, CEILINGS)
    assert (limits.max_body, limits.rate, limits.response_timeout) == (1 << 20, 10.0, 600.0)
    assert limits.warnings == ()


@pytest.mark.parametrize("text", ["0.4", "0.001"])
def test_a_slow_rate_has_a_small_burst_below_the_ceiling_too(text: str) -> None:
    limits = read_limits(
        route("a.example.com", annotations={"rate-limit": text}), DEFAULTS, CEILINGS
    )
    assert (limits.rate, limits.burst, limits.warnings) == (float(text), 1, ())


def test_a_ceiling_below_one_request_in_two_seconds_holds_for_the_burst_too() -> None:
    asked = {"rate-limit": "5", "rate-limit-burst": "1000000"}
    limits = read_limits(
        route("a.example.com", annotations=asked), DEFAULTS, replace(CEILINGS, rate=0.4)
    )
    assert (limits.rate, limits.burst, len(limits.warnings)) == (0.4, 1, 2)


def test_no_burst_at_all_is_one_request_and_not_any_number() -> None:
    asked = {"rate-limit": "5", "rate-limit-burst": "0"}
    for ceilings in (NONE, CEILINGS):
        assert read_limits(route("a.example.com", annotations=asked), DEFAULTS, ceilings).burst == 1
