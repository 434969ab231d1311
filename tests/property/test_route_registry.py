"""RouteRegistry after any series of wishes, grants and revocations: nobody is served another's host, and the store says the same."""

import asyncio
import contextlib

from hypothesis import given
from hypothesis import strategies as st

from pipeops.control.routes.ownership import HostRule
from pipeops.control.routes.registry import KEPT_UNUSED, RouteRegistry
from pipeops.control.routes.route import PathType, Route, RouteKey
from pipeops.control.routes.wanted import ClusterRef
from pipeops.control.store.domains import DomainGrant, Origin
from pipeops.control.store.errors import NotFound, StoreUnavailable
from pipeops.control.store.routes import HeldHost

CLUSTERS = [ClusterRef(f"id-{name}", name) for name in ("one", "two")]
NAMES = {ref.id: ref.name for ref in CLUSTERS}
HOSTS = ["x.io", "a.x.io", "*.x.io", "c.a.x.io"]
DOMAINS = ["x.io", "a.x.io"]


class Shelf:
    """A store in dictionaries that keeps the rules of the real one: one holder for a host, one row for a key, all or nothing."""

    def __init__(self):
        self.rows = {}
        self.holders = {}
        self.grants = {}
        self.time = 0.0
        self.broken = False

    async def all(self):
        return [(NAMES[row.cluster_id], row) for row in self.rows.values()]

    async def hosts(self):
        return [
            (NAMES[cluster], HeldHost(host, cluster, used))
            for host, (cluster, used) in self.holders.items()
        ]

    async def change(self, change):
        if self.broken:
            raise StoreUnavailable("broken")
        for host in change.release:
            assert self.holders.pop(host)[0] == change.cluster_id
        for key in change.remove:
            del self.rows[change.cluster_id, *key]
        for host in change.hold:
            assert host not in self.holders, "two clusters hold a host"
            self.holders[host] = (change.cluster_id, self.time)
        for host in change.touch:
            assert self.holders[host][0] == change.cluster_id
            self.holders[host] = (change.cluster_id, self.time)
        for row in change.put:
            key = (row.cluster_id, row.host, row.path, row.path_type)
            assert key not in self.rows, "a row is written twice"
            self.rows[key] = row

    async def list(self):
        return list(self.grants.values())

    async def put(self, cluster_id, cluster, domain, origin, granted_by):
        grant = DomainGrant(domain, cluster_id, cluster, origin, granted_by, self.time)
        self.grants[cluster, domain] = grant
        return grant

    async def remove(self, cluster_id, domain):
        if self.grants.pop((NAMES[cluster_id], domain), None) is None:
            raise NotFound(domain)


def route(ref, host, path, service):
    return Route(RouteKey(host, path, PathType.PREFIX), ref.name, "ns", service, 80)


refs, hosts = st.sampled_from(CLUSTERS), st.sampled_from(HOSTS)
wishes = st.tuples(hosts, st.sampled_from(["/", "/p"]), st.sampled_from(["s", "t"]))
steps = st.one_of(
    st.tuples(st.just("register"), refs, wishes),
    st.tuples(st.just("sync"), refs, st.lists(wishes, max_size=6)),
    st.tuples(st.just("unregister"), refs, hosts),
    st.tuples(st.just("grant"), refs, st.sampled_from(DOMAINS), st.sampled_from(Origin)),
    st.tuples(st.just("revoke"), refs, st.sampled_from(DOMAINS + HOSTS)),
    st.tuples(st.just("wait"), st.sampled_from([1.0, KEPT_UNUSED + 1])),
    st.tuples(st.just("break"), refs, st.lists(wishes, max_size=3)),
    st.tuples(st.just("forget"), refs),
)


async def do(registry, shelf, step):
    match step:
        case ("register", ref, wish):
            await registry.register(ref, route(ref, *wish))
        case ("sync", ref, wanted):
            await registry.sync(ref, [route(ref, *wish) for wish in wanted])
        case ("unregister", ref, host):
            await registry.unregister(ref, host)
        case ("grant", ref, domain, origin):
            await registry.grant(ref, domain, origin, "somebody")
        case ("revoke", ref, domain):
            with contextlib.suppress(NotFound):
                await registry.revoke(ref, domain)
        case ("wait", seconds):
            shelf.time += seconds
            await registry.drop_unused()
        case ("break", ref, wanted):
            await break_off(registry, shelf, ref, wanted)
        case ("forget", ref):
            shelf.rows = {key: row for key, row in shelf.rows.items() if key[0] != ref.id}
            shelf.holders = {host: held for host, held in shelf.holders.items() if held[0] != ref.id}  # fmt: skip
            shelf.grants = {key: each for key, each in shelf.grants.items() if key[0] != ref.name}
            await registry.forget_cluster(ref.name)


async def break_off(registry, shelf, ref, wanted):
    """A change that cannot be stored changes nothing."""
    before = set(map(repr, registry.table)), dict(registry.ownership.held())
    shelf.broken = True
    try:
        await registry.sync(ref, [route(ref, *wish) for wish in wanted])
    except StoreUnavailable:
        assert before == (set(map(repr, registry.table)), dict(registry.ownership.held()))
    finally:
        shelf.broken = False


def check(registry, shelf):
    held = dict(registry.ownership.held())
    assert held == {host: NAMES[cluster] for host, (cluster, _) in shelf.holders.items()}
    served = {repr(each) for each in registry.table}
    asked = {repr(each) for wish in registry.asked() for each in wish.routes}
    assert len(asked) == len(shelf.rows)
    assert served <= asked
    for each in registry.table:
        assert held[each.key.host] == each.cluster
        assert registry.ownership.judge(each.cluster, each.key.host) is None
    for wish in registry.asked():
        for each in wish.routes:
            refused = each.key.host in wish.refused
            assert (repr(each) in served) is not refused, "served or refused, never both or neither"
            # First come with a grant of the longest domain, or nobody's: never over another's grant.
            covering = registry.ownership.covering(each.key.host)
            if covering and not any(grant.cluster == each.cluster for grant in covering):
                assert refused


@given(st.sampled_from(HostRule), st.lists(steps, min_size=5, max_size=40))
def test_nobody_is_served_anothers_host_whatever_happens(rule, done):
    async def run():
        shelf = Shelf()
        registry = RouteRegistry(shelf, shelf, rule=rule, now=lambda: shelf.time)
        for step in done:
            await do(registry, shelf, step)
            check(registry, shelf)
        again = RouteRegistry(shelf, shelf, rule=rule, now=lambda: shelf.time)
        await again.load()
        check(again, shelf)
        served = {repr(each) for each in registry.table}
        # What became free meanwhile is given to who waits for it when everything is judged anew.
        assert served <= {repr(each) for each in again.table}

    asyncio.run(run())
