import msgspec

from pipeops.kube.cache import Cache
from pipeops.kube.listing import Meta
from pipeops.kube.watching import Change


class Thing(msgspec.Struct, gc=False):
    metadata: Meta


def thing(name: str, version: str = "1") -> Thing:
    return Thing(Meta(name, "ns", name, version))


class Bench:
    def __init__(self, limit: int = 10) -> None:
        self.told: list[tuple[str, bool, bool]] = []
        self.cache: Cache[Thing] = Cache(self._observe, limit=limit)

    def _observe(self, key, before, after) -> None:
        self.told.append((key[1], before is not None, after is not None))

    def relist(self, *things: Thing) -> None:
        self.cache.begin()
        self.cache.page(things)
        self.cache.finish()

    def names(self) -> list[str]:
        return sorted(each.metadata.name for each in self.cache)


def test_a_list_replaces_and_only_differences_are_told() -> None:
    bench = Bench()
    bench.relist(thing("a"), thing("b"))
    bench.told.clear()
    bench.relist(thing("a"), thing("b", "2"), thing("c"))
    assert bench.told == [("b", True, True), ("c", False, True)]
    bench.relist(thing("c"))
    assert bench.names() == ["c"]
    assert bench.told[2:] == [("a", True, False), ("b", True, False)]


def test_an_unfinished_list_removes_nothing() -> None:
    bench = Bench()
    bench.relist(thing("a"))
    bench.cache.begin()
    bench.cache.page([thing("b")])
    bench.cache.begin()
    bench.cache.page([thing("a")])
    bench.cache.finish()
    assert bench.names() == ["a"]


def test_changes() -> None:
    bench = Bench()
    bench.cache.change(Change.ADDED, thing("a"))
    bench.cache.change(Change.MODIFIED, thing("a", "2"))
    found = bench.cache.get("ns", "a")
    assert found is not None
    assert found.metadata.resource_version == "2"
    bench.cache.change(Change.DELETED, thing("a", "3"))
    bench.cache.change(Change.DELETED, thing("never"))
    assert bench.told == [("a", False, True), ("a", True, True), ("a", True, False)]
    assert len(bench.cache) == 0


def test_it_is_bounded_and_says_so() -> None:
    bench = Bench(limit=1)
    bench.relist(thing("a"), thing("b"))
    assert (len(bench.cache), bench.cache.overflowed) == (1, True)
    bench.cache.change(Change.MODIFIED, thing("a", "2"))
    bench.relist()
    assert not bench.cache.overflowed
