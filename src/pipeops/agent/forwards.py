"""ForwardTable: what the operator forwards (`tunnel.forwards`), and where each name leads."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeops.agent.targets import Endpoint, Lookup, TargetRefused, system_lookup
from pipeops.protocol.messages.registration import ForwardGrant, ForwardOffer

KUBE_API_PORT, KUBELET_PORT, AGENT_PORT = 6443, 10250, 8080
_LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))
NODE_IP_VARIABLES = ("PIPEOPS_NODE_IP", "NODE_IP", "HOST_IP")
_UDP = "udp://"
NO_CONNECTION = "no connection to the control plane"
NOT_TAKEN = "this control plane takes no forwards"


class ForwardSetting(Protocol):
    """One entry of `tunnel.forwards`."""

    @property
    def name(self) -> str:
        """For people; unique."""

    @property
    def local_addr(self) -> str:
        """`host:port`, or `udp://host:port`."""

    @property
    def remote_port(self) -> int:
        """Port at the control plane; 0: it chooses one and keeps it."""


class Answers(Protocol):
    """What the control plane has said to the offers: `agent.connection.ControlPlaneConnection`."""

    @property
    def connected(self) -> bool:
        """Whether it is there."""

    @property
    def forward_grants(self) -> Sequence[ForwardGrant]:
        """Its answers, as of the last registration."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A setting, taken apart."""

    name: str
    protocol: str
    host: str
    port: int
    remote_port: int
    local_addr: str


def read_forwards(settings: Iterable[ForwardSetting]) -> dict[str, Forward]:
    """Forwards by name.

    Raises:
        ValueError: an address that is none, or a name used twice.
    """
    found: dict[str, Forward] = {}
    for setting in settings:
        protocol = "udp" if setting.local_addr.startswith(_UDP) else "tcp"
        host, colon, port = setting.local_addr.removeprefix(_UDP).rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ValueError(f"tunnel.forwards {setting.name!r}: expected local_addr as host:port")
        if not setting.name or len(setting.name) > 63 or setting.name in found:
            raise ValueError(
                f"tunnel.forwards {setting.name!r}: names must be unique and not empty"
            )
        found[setting.name] = Forward(
            setting.name,
            protocol,
            host.strip("[]"),
            int(port),
            setting.remote_port,
            setting.local_addr,
        )
    return found


class ForwardTable:
    """Looks forwards up. What the operator wrote is allowed where default-deny would refuse it (design §1).

    Three local addresses have the meaning of the first agents: port 6443 is the Kubernetes API, 10250 the kubelet of
    the agent's own node, 8080 the agent itself.
    """

    def __init__(
        self,
        forwards: Mapping[str, Forward],
        *,
        kube_api: Endpoint,
        agent_port: Callable[[], int],
        environment: Mapping[str, str] = os.environ,
        lookup: Lookup = system_lookup,
        inactivity: float = 0.0,
        closed_kube_api: str = "",
    ) -> None:
        """`closed_kube_api`: why no forward may lead to the Kubernetes API; empty if it may."""
        self._closed_kube_api = closed_kube_api
        self._forwards = forwards
        self._kube_api = kube_api
        self._agent_port = agent_port
        self._environment = environment
        self._lookup = lookup
        self.inactivity = inactivity

    def offers(self) -> list[ForwardOffer]:
        """What is told at registration."""
        return [
            ForwardOffer(
                name=forward.name,
                local_addr=forward.local_addr,
                protocol=forward.protocol,
                remote_port=forward.remote_port,
            )
            for forward in self._forwards.values()
        ]

    def shown(self, answers: Answers) -> list[dict[str, object]]:
        """Every configured forward and what has become of it: what the control plane said, while it is there."""
        said = {grant.name: grant for grant in answers.forward_grants}
        rows: list[dict[str, object]] = []
        for forward in self._forwards.values():
            grant = said.get(forward.name)
            status = grant.status if grant is not None else NOT_TAKEN
            rows.append(
                {
                    "name": forward.name,
                    "protocol": forward.protocol,
                    "local_addr": forward.local_addr,
                    "remote_port": grant.remote_port if grant is not None else forward.remote_port,
                    "status": status if answers.connected else NO_CONNECTION,
                }
            )
        return rows

    def protocol(self, name: str) -> str | None:
        """`tcp` or `udp`; None for a name that is not forwarded."""
        forward = self._forwards.get(name)
        return forward.protocol if forward is not None else None

    async def resolve(self, name: str) -> Endpoint:
        """Where a forward leads first. Raises as `resolve_all`."""
        return (await self.resolve_all(name))[0]

    async def resolve_all(self, name: str) -> tuple[Endpoint, ...]:
        """Where a forward leads now: addresses to be tried in this order.

        Raises:
            TargetRefused: no such forward, or its address is not known.
        """
        forward = self._forwards.get(name)
        if forward is None:
            raise TargetRefused(f"this agent forwards nothing named {name[:63]!r}")
        endpoints = await self._endpoints(forward)
        if self._closed_kube_api and self._kube_api in endpoints:
            raise TargetRefused(self._closed_kube_api)
        return endpoints

    async def _endpoints(self, forward: Forward) -> tuple[Endpoint, ...]:
        if forward.host in _LOCAL:
            return (self._local(forward),)
        try:
            addresses = await self._lookup(forward.host, forward.port)
        except OSError as error:
            raise TargetRefused(f"{forward.host} cannot be resolved: {error}", 502) from error
        return tuple(Endpoint(address, forward.port) for address in dict.fromkeys(addresses))

    def _local(self, forward: Forward) -> Endpoint:
        if forward.protocol == "tcp" and forward.port == KUBE_API_PORT:
            return self._kube_api
        if forward.protocol == "tcp" and forward.port == AGENT_PORT:
            return Endpoint("127.0.0.1", self._agent_port() or AGENT_PORT)
        if forward.protocol == "tcp" and forward.port == KUBELET_PORT:
            for variable in NODE_IP_VARIABLES:
                node = self._environment.get(variable, "")
                if node:
                    return Endpoint(node, KUBELET_PORT)
            raise TargetRefused(
                "the kubelet's address is not known: set PIPEOPS_NODE_IP from status.hostIP in the agent's manifest",
                502,
            )
        return Endpoint("127.0.0.1", forward.port)
