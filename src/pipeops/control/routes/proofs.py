"""DomainProofs: whether a cluster controls a domain, by a TXT record that only the domain's owner can publish."""

import asyncio
import enum
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from pipeops.control.routes.ownership import domains_above, is_below

RECORD = "_pipeops-challenge"  # the underscore keeps it out of what can be registered as a host
MAX_LOOKUPS = 32  # of one search
MINUTE, PER_MINUTE = 60.0, 96  # lookups for one cluster, whatever it asks for
CONCURRENT = 8
SEARCH_TIME = 3.0  # seconds that an agent's request waits for proofs; the rest is found later
FIRST_RETRY, LAST_RETRY = 15.0, 300.0  # seconds until a domain without proof is looked up again
MAX_REMEMBERED = 20_000


class Finding(enum.Enum):
    """What a lookup says about a domain."""

    PROVEN = "proven"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class TxtLookup(Protocol):
    """Asks the domain name system; others can answer in its place."""

    async def texts(self, name: str) -> Collection[str]:
        """Return the TXT records of a name, none if there are none.

        Raises:
            LookupFailed: it cannot be known now.
        """


class LookupFailed(Exception):
    """The domain name system gives no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """The TXT record that proves a domain to be a cluster's."""

    name: str
    value: str


class DomainProofs:
    """Looks for proofs, politely: nothing is looked up again and again because an agent asks again and again.

    The value is bound to the cluster and to this installation and is no secret: a record for one cluster proves nothing for another.

    Args:
        lookup: how TXT records are found.
        instance: the installation's id.
        now: monotonic seconds.
    """

    def __init__(self, lookup: TxtLookup, *, instance: str, now: Callable[[], float]) -> None:
        self._lookup = lookup
        self._instance = instance
        self._now = now
        self._minutes: dict[str, tuple[float, int]] = {}  # when it began, lookups since
        self._absent: dict[tuple[str, str], tuple[float, float]] = {}  # when again, after how long

    def challenge(self, cluster_id: str, domain: str) -> Challenge:
        """Return what has to be published for a domain."""
        proof = hashlib.sha256(f"{self._instance}:{cluster_id}".encode()).hexdigest()[:40]
        return Challenge(f"{RECORD}.{domain}", f"pipeops-cluster={proof}")

    async def check(self, cluster_id: str, domain: str) -> Finding:
        """Look a domain up now."""
        challenge = self.challenge(cluster_id, domain)
        try:
            texts = await self._lookup.texts(challenge.name)
        except LookupFailed:
            return Finding.UNKNOWN
        return Finding.PROVEN if challenge.value in texts else Finding.ABSENT

    async def search(self, cluster_id: str, hosts: Collection[str]) -> list[str]:
        """Return proven domains that cover some of the hosts; bounded in lookups and time, so perhaps not all of them."""
        proven: list[str] = []
        candidates = self._due(cluster_id, hosts)
        try:
            async with asyncio.timeout(SEARCH_TIME):
                for start in range(0, len(candidates), CONCURRENT):
                    batch = [
                        domain
                        for domain in candidates[start : start + CONCURRENT]
                        if not any(is_below(domain, known) for known in proven)
                    ]
                    proven += await self._prove(cluster_id, batch)
        except TimeoutError:
            pass  # what was found counts; the others are due again soon
        return proven

    async def _prove(self, cluster_id: str, domains: list[str]) -> list[str]:
        async with asyncio.TaskGroup() as group:
            lookups = [group.create_task(self.check(cluster_id, domain)) for domain in domains]
        proven = []
        for domain, lookup in zip(domains, lookups, strict=True):
            if lookup.result() is Finding.PROVEN:
                proven.append(domain)
                self._absent.pop((cluster_id, domain), None)
            else:
                self._postpone(cluster_id, domain)
        return proven

    def _due(self, cluster_id: str, hosts: Iterable[str]) -> list[str]:
        """Domains to look up now: those first that cover the most hosts."""
        covers = Counter(
            domain for host in hosts for domain in domains_above(host) if "." in domain
        )
        now = self._now()
        due = [
            domain
            for domain in covers
            if self._absent.get((cluster_id, domain), (0.0, 0.0))[0] <= now
        ]
        due.sort(key=lambda domain: (-covers[domain], len(domain), domain))
        began, done = self._minutes.get(cluster_id, (now, 0))
        if now >= began + MINUTE:
            began, done = now, 0
        due = due[: min(MAX_LOOKUPS, PER_MINUTE - done)]
        self._minutes[cluster_id] = (began, done + len(due))
        return due

    def _postpone(self, cluster_id: str, domain: str) -> None:
        key = (cluster_id, domain)
        _, waited = self._absent.pop(key, (0.0, 0.0))
        wait = min(max(waited * 2, FIRST_RETRY), LAST_RETRY)
        while len(self._absent) >= MAX_REMEMBERED:
            del self._absent[next(iter(self._absent))]
        self._absent[key] = (self._now() + wait, wait)
