"""RouteStore: which routes clusters asked for, and which cluster holds which host."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from pipeops.control.store.database import Database
from pipeops.control.store.schema import clusters, route_hosts, routes

BATCH = 100  # rows of one statement: a few milliseconds of the loop's time

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredRoute:
    """One host and path, and the Service that a cluster wants to answer it.

    Attributes:
        path_type: `Exact`, `Prefix` or `ImplementationSpecific`.
        ingress: `namespace/name` of the object that asked for it.
        mode: `tunnel` or `direct`.
    """

    cluster_id: str
    host: str
    path: str
    path_type: str
    namespace: str
    service: str
    port: int
    tls: bool
    ingress: str
    mode: str
    public_endpoint: str
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True)
class HeldHost:
    """A host or wildcard that only one cluster may have routes for.

    Attributes:
        used_at: when the cluster last had or gave up a route of it, seconds since 1970.
    """

    host: str
    cluster_id: str
    used_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChange:
    """One transaction: what a cluster gives up and what it gets.

    Attributes:
        remove: (host, path, path type) of routes.
        put: new routes, and changed ones, which are also in `remove`.
        hold: hosts that the cluster holds from now on.
        touch: hosts that it held already and that were used just now.
        release: hosts that it no longer holds.
    """

    cluster_id: str
    remove: Collection[tuple[str, str, str]] = ()
    put: Collection[StoredRoute] = ()
    hold: Collection[str] = ()
    touch: Collection[str] = ()
    release: Collection[str] = ()

    def __bool__(self) -> bool:
        return bool(self.remove or self.put or self.hold or self.touch or self.release)


class RouteStore:
    """Routes and the hosts they need. Every method raises `StoreUnavailable` while the database cannot be used.

    Args:
        database: Where they are kept.
        now: Wall clock, seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def all(self) -> list[tuple[str, StoredRoute]]:
        """Every route, after the name of its cluster."""
        query = sa.select(routes, clusters.c.name.label("cluster_name")).join(clusters)
        async with self._database.reading() as connection:
            found = await connection.execute(query)
            return [(str(row["cluster_name"]), _route(row)) for row in found.mappings()]

    async def hosts(self) -> list[tuple[str, HeldHost]]:
        """Every held host, after the name of its cluster."""
        query = sa.select(route_hosts, clusters.c.name.label("cluster_name")).join(clusters)
        async with self._database.reading() as connection:
            found = await connection.execute(query)
            return [
                (
                    str(row["cluster_name"]),
                    HeldHost(row["host"], row["cluster_id"], row["used_at"]),
                )
                for row in found.mappings()
            ]

    async def change(self, *changes: RouteChange) -> None:
        """Do all of it or nothing.

        Raises:
            Conflict: another cluster holds a host meanwhile, or a cluster is gone.
        """
        async with self._database.writing() as connection:
            for change in changes:
                await self._release(connection, change)
            for change in changes:
                await self._apply(connection, change)

    async def _release(self, connection: AsyncConnection, change: RouteChange) -> None:
        owned = route_hosts.c.cluster_id == change.cluster_id
        statement = route_hosts.delete().where(owned, route_hosts.c.host == sa.bindparam("gone"))
        for batch in _batches(change.release):
            await connection.execute(statement, [{"gone": host} for host in batch])

    async def _apply(self, connection: AsyncConnection, change: RouteChange) -> None:
        owned = routes.c.cluster_id == change.cluster_id
        statement = routes.delete().where(
            owned,
            routes.c.host == sa.bindparam("at_host"),
            routes.c.path == sa.bindparam("at_path"),
            routes.c.path_type == sa.bindparam("at_type"),
        )
        for keys in _batches(change.remove):
            await connection.execute(
                statement,
                [{"at_host": host, "at_path": path, "at_type": kind} for host, path, kind in keys],
            )
        now = self._now()
        for hosts in _batches(change.hold):
            await connection.execute(
                route_hosts.insert(),
                [{"host": host, "cluster_id": change.cluster_id, "used_at": now} for host in hosts],
            )
        touched = route_hosts.update().where(
            route_hosts.c.cluster_id == change.cluster_id,
            route_hosts.c.host == sa.bindparam("touched"),
        )
        for hosts in _batches(change.touch):
            await connection.execute(
                touched.values(used_at=now), [{"touched": host} for host in hosts]
            )
        for new in _batches(change.put):
            await connection.execute(routes.insert(), [asdict(route) for route in new])


def _batches(items: Iterable[T]) -> Iterator[Sequence[T]]:
    left = iter(items)
    while batch := list(islice(left, BATCH)):
        yield batch


def _route(row: sa.RowMapping) -> StoredRoute:
    values: dict[str, Any] = {name: row[name] for name in StoredRoute.__slots__}
    return StoredRoute(**values | {"tls": bool(row["tls"])})
