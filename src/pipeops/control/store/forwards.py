"""ForwardStore: which port of the control plane belongs to which forward, over restarts."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pipeops.control.store.database import Database
from pipeops.control.store.errors import Conflict, NotFound
from pipeops.control.store.schema import clusters, forwards


@dataclass(frozen=True, slots=True)
class Forward:
    """A port and where it leads.

    Attributes:
        protocol: `tcp` or `udp`.
        target: for people if the agent offers it (`by_agent`), else `service.namespace:port`.
        inactivity: seconds without a byte after which a connection is ended; 0: never.
    """

    cluster_id: str
    cluster_name: str
    name: str
    protocol: str
    port: int
    target: str
    by_agent: bool
    inactivity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedForward:
    """A forward to be stored; `port` 0: any of the range."""

    name: str
    protocol: str
    port: int
    target: str
    by_agent: bool
    inactivity: float = 0.0


class ForwardStore:
    """Ports are unique for each protocol.

    Every method raises `StoreUnavailable` while the database cannot be used.

    Args:
        database: Where they are kept.
        now: Wall clock, seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def list(self) -> list[Forward]:
        """Every forward."""
        query = sa.select(forwards, clusters.c.name.label("cluster_name")).join(clusters)
        async with self._database.reading() as connection:
            found = await connection.execute(query.order_by(forwards.c.port))
            return [_forward(row) for row in found.mappings()]

    async def put(
        self, cluster_id: str, wanted: WantedForward, ports: Sequence[int], busy: Collection[int]
    ) -> Forward:
        """Store a forward, or bring one up to date; it keeps its port unless another is wanted.

        Args:
            cluster_id: whose it is.
            wanted: what it shall be.
            ports: from which one is chosen when any will do.
            busy: ports that cannot be listened on now.

        Raises:
            Conflict: the wanted port belongs to another forward, or none is left; or the cluster is gone.
        """
        key = (forwards.c.cluster_id == cluster_id) & (forwards.c.name == wanted.name)
        async with self._database.writing() as connection:
            row = (await connection.execute(sa.select(forwards).where(key))).mappings().first()
            same_protocol = forwards.c.protocol == wanted.protocol
            taken = set(
                (
                    await connection.execute(sa.select(forwards.c.port).where(same_protocol & ~key))
                ).scalars()
            )
            kept = row["port"] if row is not None and row["protocol"] == wanted.protocol else 0
            port = wanted.port or kept
            if not port:
                port = next((one for one in ports if one not in taken and one not in busy), 0)
            if not port:
                raise Conflict("no port of the range is free")
            if port in taken:
                raise Conflict(f"port {port} belongs to another forward")
            values: dict[str, Any] = {
                "protocol": wanted.protocol,
                "port": port,
                "target": wanted.target,
                "by_agent": wanted.by_agent,
                "inactivity": wanted.inactivity,
            }
            if row is None:
                await connection.execute(
                    forwards.insert().values(
                        cluster_id=cluster_id, name=wanted.name, created_at=self._now(), **values
                    )
                )
            else:
                await connection.execute(forwards.update().where(key).values(**values))
            name = await connection.execute(
                sa.select(clusters.c.name).where(clusters.c.id == cluster_id)
            )
            return Forward(cluster_id, str(name.scalar() or ""), wanted.name, **values)

    async def remove(self, cluster_id: str, name: str) -> None:
        """Give a port back.

        Raises:
            NotFound: there is no such forward.
        """
        key = (forwards.c.cluster_id == cluster_id) & (forwards.c.name == name)
        async with self._database.writing() as connection:
            found = await connection.execute(forwards.delete().where(key))
            if not found.rowcount:
                raise NotFound(f"the cluster has no forward named {name!r}")


def _forward(row: sa.RowMapping) -> Forward:
    return Forward(
        row["cluster_id"],
        row["cluster_name"],
        row["name"],
        row["protocol"],
        row["port"],
        row["target"],
        bool(row["by_agent"]),
        row["inactivity"],
    )
