"""CertificateSettings: where the public gateway's certificates come from; data only."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ACME_SHORTCUTS = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
"""Names of well-known ACME directories."""


class Challenge(StrEnum):
    """How control of a host is proved to the certificate authority (RFC 8555 §8)."""

    HTTP = "http-01"
    DNS = "dns-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeSettings:
    """How certificates are ordered.

    Attributes:
        directory: URL of the ACME server's directory.
        contact: e-mail addresses told to the server; may be empty.
        terms_accepted: the operator agrees to the server's terms of service; without it nothing is ordered where there are any.
        hosts: ordered beside those that routes want.
        eab_key_id, eab_key_file: account at the authority that ours is bound to (RFC 8555 §7.3.4); the file holds its base64url key.
        ca_file: PEM; trusted for the server instead of the public authorities.
        challenge: for hosts without a wildcard; those with one always take DNS.
        dns_hook: program that is run as `hook add|remove NAME VALUE`.
        dns_wait: seconds from the hook's success until the server is told to look.
        orders: how many at a time.
    """

    directory: str
    contact: tuple[str, ...] = ()
    terms_accepted: bool = False
    hosts: tuple[str, ...] = ()
    eab_key_id: str = ""
    eab_key_file: Path | None = None
    ca_file: Path | None = None
    challenge: Challenge = Challenge.HTTP
    dns_hook: Path | None = None
    dns_wait: float = 15.0
    orders: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSettings:
    """Where certificates come from, beside uploads.

    Attributes:
        directory: of certificate files; None: there are none.
        default: label or host of the certificate for clients that ask for no name or an unknown one; empty: they are turned away.
        acme: None: nothing is ordered.
    """

    directory: Path | None = None
    default: str = ""
    acme: AcmeSettings | None = None
