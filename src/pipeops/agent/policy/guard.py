"""PolicyGuard: the policy in force, asked for every stream; a new one takes over whole or not at all."""

from collections.abc import Sequence
from typing import Final

from pipeops.agent.policy.request import Unreadable, read
from pipeops.agent.policy.rules import Decision, Policy, User
from pipeops.protocol.exchange.principal import Principal, decode_principal

MAX_REMEMBERED: Final = 1024  # decisions about distinct requests
MAX_REMEMBERED_TARGET: Final = 1024  # bytes; longer targets are judged each time
RAW_KUBERNETES: Final = (
    "this cluster has a policy, which cannot be applied inside a raw stream to the Kubernetes API;"
    " the control plane must send requests instead"
)
KUBERNETES: Final = ("default", "kubernetes")  # the API server's own Service


class PolicyRefused(Exception):
    """The cluster's policy forbids it; the text is for the user and names the rule."""


class PolicyGuard:
    """Asks the policy in force; `replace` puts another in its place."""

    def __init__(self, policy: Policy, *, api_hosts: Sequence[str] = ()) -> None:
        """`api_hosts`: further names and addresses of the API server, which raw streams must not reach."""
        self._policy = policy
        self._api_hosts = frozenset(host.lower() for host in api_hosts)
        self._remembered: dict[tuple[bytes, bytes, bytes], str] = {}
        self.refused = 0

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy

    def replace(self, policy: Policy) -> None:
        """Use another policy from the next request on."""
        self._policy = policy
        self._remembered = {}

    def check(self, method: bytes, target: bytes, principal: bytes) -> None:
        """Accept a request for the Kubernetes API, or say which rule forbids it.

        Args:
            method: of the request line.
            target: path and query as they will be sent.
            principal: as encoded in the stream's head.

        Raises:
            PolicyRefused: with a sentence for the user.
        """
        key = (method, target, principal)
        refusal = self._remembered.get(key)
        if refusal is None:
            refusal = self._judge(method, target, user_of(decode_principal(principal)))
            if len(target) <= MAX_REMEMBERED_TARGET:
                if len(self._remembered) >= MAX_REMEMBERED:
                    self._remembered.pop(next(iter(self._remembered)))
                self._remembered[key] = refusal
        if refusal:
            self.refused += 1
            raise PolicyRefused(refusal)

    def check_request(self, method: bytes, target: bytes, user: User) -> None:
        """The same for a dialect that names users otherwise. Raises `PolicyRefused`."""
        refusal = self._judge(method, target, user)
        if refusal:
            self.refused += 1
            raise PolicyRefused(refusal)

    def check_dial(self, host: str, port: int) -> None:
        """Accept a raw connection (TCP, TLS, UDP, HTTP to a Service), or say which rule forbids it.

        Nobody can see what is asked of the Kubernetes API inside one, so those are refused as a whole.

        Raises:
            PolicyRefused: with a sentence for the user.
        """
        labels = host.lower().rstrip(".").split(".")
        name, namespace = labels[0], labels[1] if len(labels) > 1 else ""
        service = len(labels) == 2 or labels[2:3] == ["svc"]
        target = f"{host[:128]}:{port}"
        refusal = ""
        if ".".join(labels) in self._api_hosts or (namespace or KUBERNETES[0], name) == KUBERNETES:
            refusal = RAW_KUBERNETES
        elif not service:
            # It might be the API server's, under a name that nobody told us.
            refusal = (
                f"this cluster has a policy, and {target} names no Service (service.namespace);"
                " raw streams go to Services only"
            )
        else:
            decision = self._policy.decide_service(namespace, name, port)
            if not decision.allowed:
                refusal = _sentence(f"a connection to {target}", decision)
        if refusal:
            self.refused += 1
            raise PolicyRefused(refusal)

    def _judge(self, method: bytes, target: bytes, user: User) -> str:
        """Return why not, or nothing."""
        try:
            request = read(method, target)
        except Unreadable as error:
            return f"this cluster's policy cannot be applied to the request: {error}"
        decision = self._policy.decide(request, user)
        return "" if decision.allowed else _sentence(str(request), decision)


def user_of(principal: Principal) -> User:
    """Return whom rules are about."""
    return User(principal.user, principal.groups)


def _sentence(what: str, decision: Decision) -> str:
    return f"{what[:300]} is forbidden by this cluster's policy: rule {decision.rule!r} ({decision.reason})"
