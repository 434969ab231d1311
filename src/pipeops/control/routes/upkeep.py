"""RouteUpkeep: what has to be done about hosts though nobody asks: proofs that appear, claims that lapse."""

import asyncio
from collections.abc import Callable

from pipeops.control.routes.ownership import HostRule, Reason, Refusal
from pipeops.control.routes.proofs import Challenge, DomainProofs, Finding
from pipeops.control.routes.registry import RouteRegistry
from pipeops.control.routes.wanted import ClusterRef
from pipeops.control.store.domains import DomainGrant, Origin
from pipeops.control.store.errors import StoreError
from pipeops.errors import PipeOpsError
from pipeops.runtime.logs import get_logger
from pipeops.runtime.tasks import raise_if_cancelled

log = get_logger(__name__)

PROOF_INTERVAL = 15.0  # seconds between looks for proofs of refused hosts
LAPSE_INTERVAL = 3600.0  # seconds between looks for hosts that were given up long ago
BY_PROOF = "TXT record"


class NotProven(PipeOpsError):
    """A cluster does not control a domain, or it cannot be known now.

    Attributes:
        challenge: what would prove it.
        unknown: the domain name system did not answer.
    """

    def __init__(self, domain: str, challenge: Challenge, *, unknown: bool) -> None:
        what = (
            "could not be looked up" if unknown else "does not have the value that proves control"
        )
        super().__init__(f"the TXT record {challenge.name} {what}, so {domain} is not granted")
        self.challenge = challenge
        self.unknown = unknown
        self.hint = f'publish: {challenge.name}. TXT "{challenge.value}"'


class DomainRefused(PipeOpsError):
    """An operator gave a domain to another cluster, or decides alone; a proof does not change that."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.hint = refusal.hint


class RouteUpkeep:
    """Finds proofs: when an agent asks, when a person asks, and from time to time.

    Args:
        registry: gets the grants.
        proofs: how they are found.
        now: monotonic seconds.
    """

    def __init__(
        self, registry: RouteRegistry, proofs: DomainProofs, *, now: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._proofs = proofs
        self._now = now

    async def run(self) -> None:
        """Work until cancelled."""
        lapses_at = self._now()
        while True:
            try:
                await self.seek()
                if self._now() >= lapses_at:
                    lapses_at = self._now() + LAPSE_INTERVAL
                    await self._registry.drop_unused()
            except StoreError as error:
                log.warning("hosts could not be looked after", error=str(error))
            raise_if_cancelled()
            await asyncio.sleep(PROOF_INTERVAL)

    async def seek(self) -> None:
        """Look for proofs of every host that is refused for want of one."""
        for ref, hosts in list(self._registry.unproven()):
            await self.seek_for(ref, hosts)

    async def seek_for(self, ref: ClusterRef, hosts: list[str]) -> bool:
        """Look for proofs of some hosts, within bounds; grants what is proven. Returns whether there was any.

        Raises:
            StoreUnavailable: the store cannot be used now.
        """
        judge = self._registry.ownership.judge
        unproven = [
            host
            for host in hosts
            if (refusal := judge(ref.name, host)) and refusal.reason is Reason.UNPROVEN
        ]
        proven = await self._proofs.search(ref.id, unproven) if unproven else []
        for domain in proven:
            await self._registry.grant(ref, domain, Origin.PROOF, BY_PROOF)
            log.info("domain proven", cluster=ref.name, domain=domain)
        return bool(proven)

    def challenge(self, ref: ClusterRef, domain: str) -> Challenge:
        """What proves a domain to be the cluster's."""
        return self._proofs.challenge(ref.id, domain)

    async def prove(self, ref: ClusterRef, domain: str) -> DomainGrant:
        """Look for the proof of one domain now and grant it. Others whose proof is gone lose the domain.

        Raises:
            DomainRefused: an operator gave it to another cluster, or only operators decide here.
            NotProven: there is no proof.
            StoreUnavailable: the store cannot be used now.
        """
        ownership = self._registry.ownership
        if ownership.rule is HostRule.ALLOW_LIST:
            raise DomainRefused(Refusal(domain, Reason.NOT_ALLOWED))
        by_operator = [
            grant for grant in ownership.covering(domain) if grant.origin is Origin.OPERATOR
        ]
        if by_operator and not any(grant.cluster == ref.name for grant in by_operator):
            raise DomainRefused(Refusal(domain, Reason.TAKEN))
        finding = await self._proofs.check(ref.id, domain)
        if finding is not Finding.PROVEN:
            challenge = self.challenge(ref, domain)
            raise NotProven(domain, challenge, unknown=finding is Finding.UNKNOWN)
        await self._drop_outdated(ref, domain)
        kept = [grant for grant in ownership.grants_of(domain) if grant.cluster == ref.name]
        if kept:
            return kept[0]
        return await self._registry.grant(ref, domain, Origin.PROOF, BY_PROOF)

    async def _drop_outdated(self, ref: ClusterRef, domain: str) -> None:
        """A domain that changed hands: whoever proved it once may not be able to today."""
        for grant in self._registry.ownership.grants_of(domain):
            if grant.cluster == ref.name or grant.origin is not Origin.PROOF:
                continue
            other = ClusterRef(grant.cluster_id, grant.cluster)
            if await self._proofs.check(other.id, domain) is Finding.ABSENT:
                await self._registry.revoke(other, domain)
                log.warning("domain lost its proof", cluster=other.name, domain=domain)
