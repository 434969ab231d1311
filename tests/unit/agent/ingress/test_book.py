"""What many sources ask for together."""

from pipeops.agent.ingress.book import RouteBook
from pipeops.agent.ingress.routes import RouteSpec, Source, Translation
from tests.unit.agent.ingress.making import spec


def source(name: str) -> Source:
    return Source("Ingress", "shop", name)


def put(book: RouteBook, name: str, *routes: RouteSpec, **more: object) -> bool:
    return book.put(source(name), Translation(routes=routes, **more))  # type: ignore[arg-type]


def test_a_source_replaces_what_it_asked_for_before() -> None:
    book = RouteBook()
    assert put(book, "a", spec(), spec(at="/x"))
    assert put(book, "a", spec(at="/x"))
    assert not put(book, "a", spec(at="/x"))
    assert [key.path for key in book.routes()] == ["/x"]
    assert book.remove(source("a"))
    assert not book.remove(source("a"))
    assert (len(book), book.routes()) == (0, {})


def test_of_two_sources_the_older_has_the_key_and_the_other_when_it_goes() -> None:
    book = RouteBook()
    old, new = spec(source="z", created="2026-01-01"), spec(source="a", created="2026-02-01")
    put(book, "a", new)
    put(book, "z", old)
    assert book.get(old.key) == old
    assert len(book) == 1
    book.remove(source("z"))
    assert book.get(old.key) == new
    book.remove(source("a"))
    assert book.get(old.key) is None


def test_an_explicit_path_wins_over_a_default_backend() -> None:
    book = RouteBook()
    fallback = spec(source="a", created="2026-01-01", fallback=True)
    explicit = spec(source="b", created="2026-02-01")
    put(book, "a", fallback)
    put(book, "b", explicit)
    assert book.get(explicit.key) == explicit


def test_who_looked_at_a_service_or_gateway_is_known() -> None:
    book = RouteBook()
    put(book, "a", spec(), services=frozenset({("shop", "web")}))
    put(book, "b", services=frozenset({("shop", "web")}), gateways=frozenset({("shop", "g")}))
    assert set(book.sources_of_service(("shop", "web"))) == {source("a"), source("b")}
    assert book.sources_of_gateway(("shop", "g")) == [source("b")]
    put(book, "b", spec("b.test"))
    assert book.sources_of_service(("shop", "web")) == [source("a")]
    assert book.sources_of_gateway(("shop", "g")) == []
    book.remove(source("a"))
    assert book.sources_of_service(("shop", "web")) == []
    assert book.sources_of_service(("x", "y")) == []


def test_a_source_that_asks_for_nothing_is_not_held() -> None:
    book = RouteBook()
    put(book, "a", spec())
    assert put(book, "a")
    assert book.sources() == []


def test_remarks_are_kept_with_their_source() -> None:
    book = RouteBook()
    assert put(book, "a", remarks=("no host",))
    assert not book.put(source("a"), Translation(remarks=("no host",)))
    assert list(book.remarks()) == [(source("a"), "no host")]


def test_the_number_of_routes_is_bounded_and_room_is_used_again() -> None:
    book = RouteBook(limit=2)
    for number in range(3):
        put(book, f"s{number}", spec(f"h{number}.test"))
    assert [key.host for key in book.routes()] == ["h0.test", "h1.test"]
    book.remove(source("s0"))
    assert [key.host for key in book.routes()] == ["h1.test", "h2.test"]
