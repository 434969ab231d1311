"""The simulated cluster's state: kinds, objects, identities, time."""

import secrets
from collections.abc import Mapping
from uuid import uuid4

from pipeops.sim.access.rbac import Authorizer
from pipeops.sim.access.reviews import Reviews
from pipeops.sim.access.users import Authenticator, TokenIssuer, User
from pipeops.sim.clock import Clock, SystemClock
from pipeops.sim.commits import Writer
from pipeops.sim.deleting import Deleter
from pipeops.sim.kinds import GroupResource, Registry, Resource
from pipeops.sim.objects import JsonObject, deep_copy, timestamp, uid_of
from pipeops.sim.storage import Store

ADMIN = User(
    "kubernetes-admin", ("kubeadm:cluster-admins", "system:masters", "system:authenticated")
)
SERVICE_ACCOUNTS = GroupResource("", "serviceaccounts")


class SimulatedCluster:
    """Everything the simulated API server knows. One owner, one event loop; calls never await.

    Args:
        clock: wall time; tests hand in their own.
        tokens: bearer token to user, besides the ServiceAccount tokens that the cluster issues.
        signing_key: signs ServiceAccount tokens; random when not given.
        history: how many changes of each resource a watch can go back.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        tokens: Mapping[str, User] | None = None,
        signing_key: bytes | None = None,
        history: int = 4096,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.registry = Registry()
        self.store = Store(history=history)
        self.authorizer = Authorizer(self.store)
        issuer = TokenIssuer(signing_key or secrets.token_bytes(32), self.clock)
        self.authenticator = Authenticator(tokens or {}, issuer, self._account_uid)
        self.writer = Writer(self.store, self.registry, self.clock)
        self.deleter = Deleter(self.store, self.clock)
        self.reviews = Reviews(self.authorizer, self.authenticator)

    def _account_uid(self, namespace: str, name: str) -> str | None:
        account = self.store.get(SERVICE_ACCOUNTS, namespace, name)
        return uid_of(account) if account else None

    def install(self, obj: JsonObject) -> JsonObject:
        """Store an object as it is, adding only what every object has. For seeds and tests."""
        resource = self.registry.by_kind(obj["apiVersion"], obj["kind"])
        if resource is None:
            raise ValueError(f"no such kind: {obj['apiVersion']} {obj['kind']}")
        head = obj["metadata"]
        head.setdefault("uid", str(uuid4()))
        head.setdefault("creationTimestamp", timestamp(self.clock.now()))
        return self.store.put(resource.storage, obj)

    def place_pod(self, resource: Resource, pod: JsonObject, node: str) -> JsonObject:
        """Assign a pod to a node, as a scheduler's binding does."""
        placed: JsonObject = deep_copy(pod)
        placed["spec"]["nodeName"] = node
        moment = timestamp(self.clock.now())
        condition = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": moment,
        }
        status = placed.setdefault("status", {})
        others = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
        status["conditions"] = [*others, condition]
        return self.store.put(resource.storage, placed)
