"""Rows for people."""

import asyncio
import random

from pipeops.agent.ingress.bodies import Circumstances
from pipeops.agent.ingress.book import RouteBook
from pipeops.agent.ingress.plan import Refusal
from pipeops.agent.ingress.publisher import RoutePublisher
from pipeops.agent.ingress.routes import Source, Translation
from pipeops.agent.ingress.shown import MAX_REMARKS, MAX_ROWS, rows
from tests.unit.agent.ingress.making import FakeRegistry, spec

DIRECT = Circumstances(cluster="c-1", public_endpoint="8.8.8.8:443")


class Line:
    generation = 1
    cluster = "c-1"

    async def up(self) -> None: ...

    async def renewed(self, generation: int, seconds: float) -> None:
        await asyncio.Event().wait()


def publisher(book: RouteBook) -> RoutePublisher:
    return RoutePublisher(
        FakeRegistry(), book, Line(), around=lambda: DIRECT, rng=random.Random(1), now=lambda: 0.0
    )


def test_each_route_says_what_became_of_it() -> None:
    book = RouteBook()
    routes = spec(), spec("", tunnel_only=True), spec("c.test", tls=True)
    book.put(Source("Ingress", "shop", "web"), Translation(routes=routes, remarks=("a pattern",)))
    it = publisher(book)
    it.acked[routes[0].key] = routes[0]
    it.refused[routes[1].key] = Refusal(routes[1], "taken")
    it.acked[routes[2].key] = spec("c.test")
    shown = rows(it, book, DIRECT)
    assert [(r["host"], r["state"], r["reason"], r["mode"]) for r in shown] == [
        ("a.test", "registered", "", "direct"),
        ("*", "refused", "taken", "tunnel"),
        ("c.test", "pending", "", "direct"),
        ("", "not published", "a pattern", ""),
    ]
    assert shown[0]["target"] == "shop/web:80"
    assert shown[3]["source"] == "Ingress shop/web"


def test_rows_are_bounded() -> None:
    book = RouteBook()
    for number in range(MAX_ROWS + 10):
        source = Source("Ingress", "shop", f"i{number}")
        book.put(source, Translation(routes=(spec(f"h{number}.test"),), remarks=("x",)))
    shown = rows(publisher(book), book, DIRECT)
    assert len(shown) == MAX_ROWS
    assert sum(row["state"] == "not published" for row in shown) == MAX_REMARKS
