"""When a certificate is ordered: who needs one, when one is renewed, how long a failure keeps from the next try."""

from collections.abc import Collection, Iterable, Mapping
from random import Random
from typing import Final

from pipeops.control.certificates.certificate import Certificate, Source, candidates
from pipeops.control.store.certificates import AcmeFailure

RENEW_AT: Final = (
    2 / 3
)  # of its lifetime; what is left is time to repair what keeps it from being renewed
JITTER: Final = 1 / 20  # of its lifetime: hosts that were ordered together are not renewed together
# Let's Encrypt allows five failed validations of a host in an hour; these are four.
FIRST_DELAY: Final = 300.0
MAX_DELAY: Final = 86_400.0
# How long the server itself is left alone when it is away or refuses the account.
FIRST_PAUSE: Final = 15.0
MAX_PAUSE: Final = 3600.0
MAX_SERVER_PAUSE: Final = 6 * 3600.0  # the longest that a server may ask for


def renewal_time(certificate: Certificate) -> float:
    """Seconds since 1970; the jitter is the certificate's own, so that a restart changes nothing."""
    lifetime = certificate.not_after - certificate.not_before
    spread = int(certificate.fingerprint[:8], 16) / 0xFFFFFFFF
    return certificate.not_before + lifetime * (RENEW_AT - JITTER * spread)


def retry_delay(failures: int, retry_after: float | None, rng: Random) -> float:
    """Seconds from a host's failure in a row to its next order: doubling, jittered, never before the server allows."""
    ceiling = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 16))
    return max(rng.uniform(ceiling / 2, ceiling) if failures > 1 else ceiling, retry_after or 0.0)


def pause(failures: int, retry_after: float | None, rng: Random) -> float:
    """Seconds for which nothing is ordered at all."""
    if retry_after is not None:
        return min(max(retry_after, FIRST_PAUSE), MAX_SERVER_PAUSE)
    ceiling = min(MAX_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
    return rng.uniform(ceiling / 2, ceiling)


def due_hosts(
    wanted: Iterable[str],
    names: Mapping[str, tuple[Certificate, ...]],
    *,
    now: float,
    failures: Mapping[str, AcmeFailure],
    asked: Mapping[str, float],
    forced: Collection[str] = (),
) -> list[str]:
    """Return the hosts to order for, the most urgent first.

    A host needs no order while an operator's certificate covers it, or one of ACME's that is not to be renewed yet.

    Args:
        wanted: host names, `*.parent` for a wildcard.
        names: certificates by their names, those of other ACME servers left out.
        now: seconds since 1970.
        failures: by host; it waits for `retry_at`.
        asked: when the ACME server wants a certificate to be renewed, by fingerprint.
        forced: ordered whatever is there, and whatever failed.
    """
    found: dict[str, tuple[float, float]] = {}
    for host in wanted:
        failure = failures.get(host)
        if host in forced:
            found[host] = (0.0, 0.0)
        elif failure is None or failure.retry_at <= now:
            until = _covered_until(host, names, now, asked)
            if until is not None:
                found[host] = (until, failure.failures if failure is not None else 0)
    return sorted(found, key=lambda host: (found[host], host))


def _covered_until(
    host: str,
    names: Mapping[str, tuple[Certificate, ...]],
    now: float,
    asked: Mapping[str, float],
) -> float | None:
    """When the host's last certificate expires, 0 if it has none; None: it needs no other."""
    until = 0.0
    for name in candidates(host):
        for one in names.get(name, ()):
            if one.not_after <= now:
                continue
            if one.source is not Source.ACME:
                return None
            if now < min(renewal_time(one), asked.get(one.fingerprint, one.not_after)):
                return None
            until = max(until, one.not_after)
    return until
