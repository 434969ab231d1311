"""DomainStore: which cluster may use which domain, and on whose word."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from pipeops.control.store.database import Database
from pipeops.control.store.errors import NotFound
from pipeops.control.store.schema import clusters, domains


class Origin(enum.StrEnum):
    """Why a cluster may use a domain."""

    OPERATOR = "operator"
    PROOF = "proof"


@dataclass(frozen=True, slots=True)
class DomainGrant:
    """A domain, with everything below it, that a cluster may use.

    Attributes:
        granted_by: the operator's user name, or how it was proven.
        created_at: seconds since 1970.
    """

    domain: str
    cluster_id: str
    cluster: str
    origin: Origin
    granted_by: str
    created_at: float


class DomainStore:
    """Grants of domains. Every method raises `StoreUnavailable` while the database cannot be used.

    Args:
        database: Where they are kept.
        now: Wall clock, seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def list(self) -> list[DomainGrant]:
        """Every grant, by domain and cluster."""
        query = (
            sa.select(domains, clusters.c.name)
            .join(clusters)
            .order_by(domains.c.domain, clusters.c.name)
        )
        async with self._database.reading() as connection:
            found = await connection.execute(query)
            return [
                DomainGrant(
                    row["domain"],
                    row["cluster_id"],
                    row["name"],
                    Origin(row["origin"]),
                    row["granted_by"],
                    row["created_at"],
                )
                for row in found.mappings()
            ]

    async def put(
        self, cluster_id: str, cluster: str, domain: str, origin: Origin, granted_by: str
    ) -> DomainGrant:
        """Grant a domain to a cluster; a second grant takes the place of the first.

        Raises:
            Conflict: the cluster is gone.
        """
        grant = DomainGrant(domain, cluster_id, cluster, origin, granted_by, self._now())
        async with self._database.writing() as connection:
            await connection.execute(domains.delete().where(_key(cluster_id, domain)))
            await connection.execute(
                domains.insert().values(
                    domain=domain,
                    cluster_id=cluster_id,
                    origin=origin.value,
                    granted_by=granted_by,
                    created_at=grant.created_at,
                )
            )
        return grant

    async def remove(self, cluster_id: str, domain: str) -> None:
        """Take a grant back.

        Raises:
            NotFound: there is none.
        """
        async with self._database.writing() as connection:
            found = await connection.execute(domains.delete().where(_key(cluster_id, domain)))
            if not found.rowcount:
                raise NotFound(
                    f"the cluster has no domain {domain!r}", hint="see `pipeops domains list`"
                )


def _key(cluster_id: str, domain: str) -> sa.ColumnElement[bool]:
    return (domains.c.cluster_id == cluster_id) & (domains.c.domain == domain)
