"""ClusterCredentialStore: what Go agents registered to reach their cluster's API with, sealed."""

from collections.abc import Callable

import sqlalchemy as sa

from pipeops.control.store.database import Database
from pipeops.control.store.schema import cluster_credentials


class ClusterCredentialStore:
    """One sealed credential for each cluster; this room never sees it open.

    Every method raises `StoreUnavailable` while the database cannot be used.

    Args:
        database: Where they are kept.
        now: Wall clock, seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def put(self, cluster_id: str, sealed: bytes) -> None:
        """Store or replace the credential of a cluster.

        Raises:
            Conflict: The cluster is gone.
        """
        chosen = cluster_credentials.c.cluster_id == cluster_id
        values = {"sealed": sealed, "updated_at": self._now()}
        async with self._database.writing() as connection:
            found = await connection.execute(
                cluster_credentials.update().where(chosen).values(**values)
            )
            if not found.rowcount:
                await connection.execute(
                    cluster_credentials.insert().values(cluster_id=cluster_id, **values)
                )

    async def get(self, cluster_id: str) -> bytes | None:
        """Return the sealed credential of a cluster, None if it has none."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                sa.select(cluster_credentials.c.sealed).where(
                    cluster_credentials.c.cluster_id == cluster_id
                )
            )
            return found.scalar()

    async def remove(self, cluster_id: str) -> None:
        """Forget the credential of a cluster; without one nothing happens."""
        async with self._database.writing() as connection:
            await connection.execute(
                cluster_credentials.delete().where(cluster_credentials.c.cluster_id == cluster_id)
            )
