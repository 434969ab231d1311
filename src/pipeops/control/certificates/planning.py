"""What is to be ordered now and what the server is to be asked about: a pure look over hosts and certificates."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeops.control.certificates.certificate import (
    Certificate,
    Source,
    by_name,
    candidates,
    host_name,
)
from pipeops.control.certificates.renewal import due_hosts, renewal_time
from pipeops.control.store.certificates import AcmeFailure

ASK_INTERVAL: Final = (
    6 * 3600.0
)  # RFC 9773 §4.3: how often the server is asked about one certificate
MAX_HOSTS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a plan is made of; nobody changes it meanwhile.

    Attributes:
        wanted: hosts as routes and settings spell them.
        certificates: those that count; what other ACME servers issued is left out.
        failures: by host.
        asked: when the server wants a certificate to be renewed, by fingerprint.
        asked_at: when it was asked, by fingerprint.
        forced: hosts to order for whatever they have.
        now: seconds since 1970.
    """

    wanted: Sequence[str]
    certificates: Sequence[Certificate]
    failures: Mapping[str, AcmeFailure]
    asked: Mapping[str, float]
    asked_at: Mapping[str, float]
    forced: Collection[str]
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What follows from it.

    Attributes:
        hosts: those wanted for which a certificate can be ordered.
        refused: those for which none can, as they were spelt.
        due: hosts to order for, the most urgent first.
        ask: the certificate that the server should be asked about; None: not now.
        live: fingerprints of certificates that the server may be asked about.
    """

    hosts: frozenset[str] = frozenset()
    refused: tuple[str, ...] = ()
    due: tuple[str, ...] = ()
    ask: Certificate | None = None
    live: frozenset[str] = field(default=frozenset(), repr=False)


def make_plan(known: Known) -> Plan:
    """Look over everything; a tenth of a second for 10,000 hosts, so that it belongs in a thread then."""
    hosts, refused = orderable(known.wanted)
    names = by_name(known.certificates)
    due = due_hosts(
        hosts,
        names,
        now=known.now,
        failures=known.failures,
        asked=known.asked,
        forced=known.forced,
    )
    live = _live(hosts, names, known.now)
    return Plan(
        hosts=frozenset(hosts),
        refused=tuple(refused),
        due=tuple(due),
        ask=_to_ask(live, known),
        live=frozenset(live),
    )


def orderable(wanted: Iterable[str]) -> tuple[set[str], list[str]]:
    """Tell hosts for which an authority may sign from names for which none would; at most `MAX_HOSTS` of each."""
    hosts: set[str] = set()
    refused: list[str] = []
    for text in wanted:
        host = host_name(text)
        if host is not None and "." in host.removeprefix("*."):
            hosts.add(host)
        elif len(refused) < MAX_HOSTS:
            refused.append(text)
        if len(hosts) >= MAX_HOSTS:
            break
    return hosts, refused


def _live(
    hosts: Iterable[str], names: Mapping[str, tuple[Certificate, ...]], now: float
) -> dict[str, Certificate]:
    """Certificates of ACME's that are not due by themselves, by fingerprint."""
    return {
        one.fingerprint: one
        for host in hosts
        for name in candidates(host)
        for one in names.get(name, ())
        if one.source is Source.ACME and now < min(one.not_after, renewal_time(one))
    }


def _to_ask(live: Mapping[str, Certificate], known: Known) -> Certificate | None:
    """The certificate that the server was not asked about for longest, if for long enough."""
    last = {one: known.asked_at.get(one, live[one].not_before) for one in live}
    oldest = min(last, key=last.__getitem__, default=None)
    if oldest is None or known.now - last[oldest] < ASK_INTERVAL:
        return None
    return live[oldest]
