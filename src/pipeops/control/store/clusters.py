"""ClusterStore: the clusters, by id and by name."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from pipeops.control.store.database import Database
from pipeops.control.store.errors import Conflict, NotFound
from pipeops.control.store.records import Cluster
from pipeops.control.store.schema import cluster_tokens, clusters


class ClusterStore:
    """Clusters. Every method raises `StoreUnavailable` while the database cannot be used.

    Args:
        database: Where they are kept.
        now: Wall clock, seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def add(self, name: str) -> Cluster:
        """Add a cluster.

        Raises:
            Conflict: The name is taken.
        """
        record = Cluster(
            id=str(uuid.uuid4()),
            name=name,
            agent_id=None,
            created_at=self._now(),
            last_seen_at=None,
            facts=None,
        )
        try:
            async with self._database.writing() as connection:
                await connection.execute(
                    clusters.insert().values(id=record.id, name=name, created_at=record.created_at)
                )
        except Conflict as error:
            raise Conflict(
                f"a cluster named {name!r} exists already",
                hint="choose another name, or issue a new token with `pipeops clusters token NAME`",
            ) from error
        return record

    async def get(self, name: str) -> Cluster:
        """Return the cluster of this name.

        Raises:
            NotFound: There is none.
        """
        return await self._one(clusters.c.name == name, f"no cluster is named {name!r}")

    async def get_by_id(self, cluster_id: str) -> Cluster:
        """Return the cluster of this id.

        Raises:
            NotFound: There is none.
        """
        return await self._one(clusters.c.id == cluster_id, f"no cluster has the id {cluster_id!r}")

    async def list(self) -> tuple[Cluster, ...]:
        """Return all clusters by name."""
        async with self._database.reading() as connection:
            rows = await connection.execute(sa.select(clusters).order_by(clusters.c.name))
            return tuple(_cluster(row._mapping) for row in rows)  # noqa: SLF001 - public in spite of its name

    async def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        async with self._database.reading() as connection:
            rows = await connection.execute(sa.select(clusters.c.name).order_by(clusters.c.name))
            return tuple(rows.scalars())

    async def remove(self, name: str) -> tuple[Cluster, tuple[str, ...]]:
        """Delete a cluster and its tokens; return it and the ids of the deleted tokens.

        Raises:
            NotFound: There is none.
        """
        async with self._database.writing() as connection:
            found = await connection.execute(sa.select(clusters).where(clusters.c.name == name))
            row = found.mappings().first()
            if row is None:
                raise NotFound(f"no cluster is named {name!r}", hint="list them to see the names")
            record = _cluster(row)
            tokens = await connection.execute(
                sa.select(cluster_tokens.c.id).where(cluster_tokens.c.cluster_id == record.id)
            )
            ids = tuple(tokens.scalars())
            await connection.execute(clusters.delete().where(clusters.c.id == record.id))
        return record, ids

    async def bind_agent(self, cluster_id: str, agent_id: str) -> str:
        """Remember the first agent identity of a cluster; return the one that counts.

        A token may be used by one agent identity only, so that a copied token cannot answer for
        the cluster unnoticed: the caller compares the answer with what the agent claims.

        Raises:
            NotFound: The cluster is gone.
        """
        async with self._database.writing() as connection:
            await connection.execute(
                clusters.update()
                .where(clusters.c.id == cluster_id, clusters.c.agent_id.is_(None))
                .values(agent_id=agent_id)
            )
            found = await connection.execute(
                sa.select(clusters.c.agent_id).where(clusters.c.id == cluster_id)
            )
            bound = found.scalar_one_or_none()
        if bound is None:
            raise NotFound(f"no cluster has the id {cluster_id!r}")
        return str(bound)

    async def release_agent(self, cluster_id: str) -> None:
        """Forget the agent identity, so that the next agent with a valid token becomes it."""
        async with self._database.writing() as connection:
            await connection.execute(
                clusters.update().where(clusters.c.id == cluster_id).values(agent_id=None)
            )

    async def record_seen(
        self, cluster_id: str, *, facts: Mapping[str, object] | None = None
    ) -> None:
        """Note that an agent reported just now, and what it told if `facts` is given."""
        values: dict[str, object] = {"last_seen_at": self._now()}
        if facts is not None:
            values["facts"] = dict(facts)
        async with self._database.writing() as connection:
            await connection.execute(
                clusters.update().where(clusters.c.id == cluster_id).values(values)
            )

    async def _one(self, condition: sa.ColumnElement[bool], missing: str) -> Cluster:
        async with self._database.reading() as connection:
            found = await connection.execute(sa.select(clusters).where(condition))
            row = found.mappings().first()
        if row is None:
            raise NotFound(missing, hint="list them to see the names")
        return _cluster(row)


def _cluster(row: Mapping[Any, Any]) -> Cluster:
    return Cluster(
        id=row["id"],
        name=row["name"],
        agent_id=row["agent_id"],
        created_at=row["created_at"],
        last_seen_at=row["last_seen_at"],
        facts=row["facts"],
    )
