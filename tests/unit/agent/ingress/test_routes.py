"""Which of several routes with one key has it."""

import random

from pipeops.agent.ingress.routes import Source
from tests.unit.agent.ingress.making import spec


def test_explicit_before_default_then_age_then_name() -> None:
    routes = [
        spec(source="b", created="2026-01-01"),
        spec(source="c", created="2026-01-01"),
        spec(source="a", created="2026-02-01"),
        spec(source="a", created="2025-01-01", fallback=True),
    ]
    random.Random(1).shuffle(mixed := list(routes))
    assert sorted(mixed, key=lambda each: each.precedence) == routes


def test_a_source_is_named_as_people_do() -> None:
    assert str(Source("HTTPRoute", "shop", "web")) == "HTTPRoute shop/web"
