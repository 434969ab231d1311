"""CertificateStore: certificates of the public gateway with their sealed keys, ACME accounts and failures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pipeops.control.store.database import Database
from pipeops.control.store.errors import Conflict, NotFound
from pipeops.control.store.schema import acme_accounts, acme_failures, gateway_certificates

MAX_CERTIFICATES = 10_000  # of each source: what one book serves


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCertificate:
    """A certificate as it is kept.

    Attributes:
        source: `upload` or `acme`.
        chain: PEM.
        sealed_key: the key, encrypted; this room never sees it open.
        directory: URL of the ACME directory that issued it, empty for an upload.
        added_by: the user who uploaded it, empty for ACME.
        updated_at: seconds since 1970.
    """

    host: str
    source: str
    chain: bytes = field(repr=False)
    sealed_key: bytes = field(repr=False)
    directory: str = ""
    added_by: str = ""
    updated_at: float = 0.0


@dataclass(frozen=True, slots=True)
class AcmeAccount:
    """An account at an ACME server; `uri` is its identity there, `sealed_key` its encrypted key."""

    directory: str
    uri: str
    sealed_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AcmeFailure:
    """Orders of a host that failed in a row, why the last one did, and when the next may be made (seconds since 1970)."""

    host: str
    failures: int
    retry_at: float
    problem: str


class CertificateStore:
    """One certificate for each host and source.

    Every method raises `StoreUnavailable` while the database cannot be used.

    Args:
        database: Where they are kept.
        now: Wall clock, seconds since 1970.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def list(self) -> list[StoredCertificate]:
        """Every certificate, by host."""
        query = sa.select(gateway_certificates).order_by(
            gateway_certificates.c.host, gateway_certificates.c.source
        )
        async with self._database.reading() as connection:
            return [
                StoredCertificate(**row) for row in (await connection.execute(query)).mappings()
            ]

    async def put(self, certificate: StoredCertificate) -> None:
        """Store a certificate, or the next one of its host and source.

        Raises:
            Conflict: there are `MAX_CERTIFICATES` of its source.
        """
        table = gateway_certificates
        key = (table.c.host == certificate.host) & (table.c.source == certificate.source)
        values: dict[str, Any] = {
            "chain": certificate.chain,
            "sealed_key": certificate.sealed_key,
            "directory": certificate.directory,
            "added_by": certificate.added_by,
            "updated_at": self._now(),
        }
        async with self._database.writing() as connection:
            found = await connection.execute(table.update().where(key).values(**values))
            if found.rowcount:
                return
            count = await connection.execute(
                sa.select(sa.func.count())
                .select_from(table)
                .where(table.c.source == certificate.source)
            )
            if int(count.scalar_one()) >= MAX_CERTIFICATES:
                raise Conflict(f"there are {MAX_CERTIFICATES} certificates already")
            await connection.execute(
                table.insert().values(host=certificate.host, source=certificate.source, **values)
            )

    async def remove(self, host: str, source: str) -> None:
        """Forget a certificate.

        Raises:
            NotFound: there is none.
        """
        table = gateway_certificates
        async with self._database.writing() as connection:
            found = await connection.execute(
                table.delete().where((table.c.host == host) & (table.c.source == source))
            )
            if not found.rowcount:
                raise NotFound(f"no certificate of {host!r} was added by {source}")

    async def account(self, directory: str) -> AcmeAccount | None:
        """Return the account at an ACME server, None if there is none yet."""
        query = sa.select(
            acme_accounts.c.directory, acme_accounts.c.uri, acme_accounts.c.sealed_key
        ).where(acme_accounts.c.directory == directory)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().first()
            return AcmeAccount(**row) if row is not None else None

    async def put_account(self, account: AcmeAccount) -> None:
        """Store the account at an ACME server in place of the one that was."""
        chosen = acme_accounts.c.directory == account.directory
        async with self._database.writing() as connection:
            await connection.execute(acme_accounts.delete().where(chosen))
            await connection.execute(
                acme_accounts.insert().values(
                    directory=account.directory,
                    uri=account.uri,
                    sealed_key=account.sealed_key,
                    created_at=self._now(),
                )
            )

    async def remove_account(self, directory: str) -> None:
        """Forget an account; without one nothing happens."""
        async with self._database.writing() as connection:
            await connection.execute(
                acme_accounts.delete().where(acme_accounts.c.directory == directory)
            )

    async def failures(self) -> dict[str, AcmeFailure]:
        """Return what went wrong, by host."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(sa.select(acme_failures))).mappings()
            return {row["host"]: AcmeFailure(**row) for row in rows}

    async def put_failure(self, failure: AcmeFailure) -> None:
        """Note a failure in place of the host's last one."""
        async with self._database.writing() as connection:
            await connection.execute(
                acme_failures.delete().where(acme_failures.c.host == failure.host)
            )
            await connection.execute(
                acme_failures.insert().values(
                    host=failure.host,
                    failures=failure.failures,
                    retry_at=failure.retry_at,
                    problem=failure.problem,
                )
            )

    async def clear_failure(self, host: str) -> None:
        """An order succeeded, or nobody wants the host any more."""
        async with self._database.writing() as connection:
            await connection.execute(acme_failures.delete().where(acme_failures.c.host == host))
