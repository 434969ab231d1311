"""ServiceAccess: which Services may be reached through the tunnel; unless the cluster offers one, it may not."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from pipeops.agent.policy.guard import KUBERNETES, PolicyGuard, PolicyRefused
from pipeops.agent.policy.rules import Patterns
from pipeops.agent.targets import NoSystemServices, ServiceTarget, TargetRefused

_API_NAMESPACE, _API_NAME = KUBERNETES
MAX_REMEMBERED: Final = 1024  # targets and what a list says of them


@dataclass(slots=True)
class PublishedServices:
    """Service ports that objects of the cluster offer to the outside; whoever reads those objects fills it.

    `replace` is called with all there are, so that what is withdrawn is refused from the next request on.
    """

    ports: frozenset[ServiceTarget] = field(default_factory=frozenset)

    def replace(self, ports: Iterable[ServiceTarget]) -> None:
        """Offer these, and no others."""
        self.ports = frozenset(ports)

    def __contains__(self, target: ServiceTarget) -> bool:
        return target in self.ports

    def __len__(self) -> int:
        return len(self.ports)


class AllowedServices:
    """What the operator lists under `services.allow`: `namespace/name:port`, with `*` for any text."""

    def __init__(self, listed: Sequence[str] = ()) -> None:
        """`listed` as `service_list` read it."""
        # A namespace that is spelt out is meant, one that a `*` happens to cover is not.
        spelt = [text for text in listed if "*" not in text.partition("/")[0]]
        self._all = _remembering(Patterns(listed or ["/"]))
        #: Whether an entry that names the namespace in full covers a target; no method, since every request comes by.
        self.spells_out = _remembering(Patterns(spelt or ["/"]))

    def __contains__(self, target: ServiceTarget) -> bool:
        return self._all(target)


def _remembering(patterns: Patterns) -> Callable[[ServiceTarget], bool]:
    """Whether a target is in the list; the list stays as it is, and is asked once a request."""

    @lru_cache(maxsize=MAX_REMEMBERED)
    def listed(target: ServiceTarget) -> bool:
        return patterns.match(f"{target.namespace}/{target.name}:{target.port}")

    return listed


@dataclass(frozen=True, slots=True)
class ServiceAccess:
    """ServiceRule: default deny. The cluster's policy can only take away from what is offered.

    Attributes:
        kube_api: `kubernetes.default` is a target like others; only raw streams, in which nobody adds a credential, may have it.
        open: everything but system namespaces is offered (PipeOps control planes; decision record 0009).
    """

    published: PublishedServices
    allowed: AllowedServices
    guard: PolicyGuard | None = None
    kube_api: bool = False
    open: bool = False

    def check(self, target: ServiceTarget) -> None:
        """ServiceRule."""
        if target.name == _API_NAME and target.namespace == _API_NAMESPACE and not self.kube_api:
            raise TargetRefused(
                "the Kubernetes API is not a Service for applications; send requests for it as its user"
            )
        listed = self.guard is not None and self._check_policy(self.guard, target)
        if target in self.published.ports or self.allowed.spells_out(target):
            return
        NoSystemServices().check(target)
        if listed or self.open or target in self.allowed:
            return
        raise TargetRefused(
            f"the cluster does not offer {target} through the tunnel: no Ingress or route names it, and it is not"
            " listed under services.allow of the agent"
        )

    def trusts(self, target: ServiceTarget) -> bool:
        """ServiceRule: what `services.allow` spells out."""
        return self.allowed.spells_out(target)

    def _check_policy(self, guard: PolicyGuard, target: ServiceTarget) -> bool:
        """Whether the cluster's policy lists the Service."""
        try:
            guard.check_dial(f"{target.name}.{target.namespace}", target.port)
        except PolicyRefused as refusal:
            raise TargetRefused(str(refusal)) from refusal
        return guard.policy.services is not None
