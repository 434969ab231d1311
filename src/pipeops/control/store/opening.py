"""Store: every repository on one open database."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeops.control.store.certificates import CertificateStore
from pipeops.control.store.cluster_credentials import ClusterCredentialStore
from pipeops.control.store.cluster_tokens import ClusterTokenStore
from pipeops.control.store.clusters import ClusterStore
from pipeops.control.store.database import Database
from pipeops.control.store.domains import DomainStore
from pipeops.control.store.forwards import ForwardStore
from pipeops.control.store.routes import RouteStore
from pipeops.control.store.setting_values import SettingStore
from pipeops.control.store.user_tokens import UserTokenStore


@dataclass(frozen=True, slots=True)
class Store:
    """The repositories; whoever opened it closes it."""

    database: Database
    certificates: CertificateStore
    clusters: ClusterStore
    cluster_credentials: ClusterCredentialStore
    cluster_tokens: ClusterTokenStore
    domains: DomainStore
    forwards: ForwardStore
    routes: RouteStore
    user_tokens: UserTokenStore
    settings: SettingStore

    async def close(self) -> None:
        """Close the database."""
        await self.database.close()


async def open_store(url: str, *, now: Callable[[], float]) -> Store:
    """Open the database, bring its schema up to date, return the repositories.

    Args:
        url: ``sqlite:///path/to/file.db`` or ``postgresql://user:password@host/name``.
        now: Wall clock, seconds since 1970.

    Raises:
        StoreUnavailable: It cannot be reached or written now.
        StoreUnusable: It is damaged, newer than this program, or the URL is wrong.
    """
    database = await Database.open(url)
    return Store(
        database=database,
        certificates=CertificateStore(database, now),
        clusters=ClusterStore(database, now),
        cluster_credentials=ClusterCredentialStore(database, now),
        cluster_tokens=ClusterTokenStore(database, now),
        domains=DomainStore(database, now),
        forwards=ForwardStore(database, now),
        routes=RouteStore(database, now),
        user_tokens=UserTokenStore(database, now),
        settings=SettingStore(database),
    )
