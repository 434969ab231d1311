"""Checks of the way to the cluster: its API server, whom it takes us for, and what we may do there."""

import asyncio
import statistics
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

from pipeops.agent.diagnose.control_plane import clock_part, resolves, tls_part
from pipeops.agent.diagnose.probe import look
from pipeops.agent.diagnose.report import Check, Part
from pipeops.kube.client import AccessQuestion, UserInfo, Version
from pipeops.kube.config import KubeAccess
from pipeops.kube.errors import KubeError

SAMPLES: Final = 5
SLOW: Final = 0.5  # seconds for /version
APPLY: Final = "apply deploy/manifests/rbac.yaml"


class Client(Protocol):
    """What is asked of the API server: `kube.client.KubeClient`."""

    async def version(self) -> Version:
        """The server's version."""

    async def who_am_i(self) -> UserInfo:
        """Whom it takes us for."""

    async def may(self, question: AccessQuestion) -> bool:
        """Whether we may do something."""


#: What the agent needs, what for, and whether it works at all without.
RIGHTS: Final = (
    (AccessQuestion("list", "nodes"), "facts for heartbeats", False),
    (AccessQuestion("list", "pods"), "facts for heartbeats", False),
    (AccessQuestion("list", "namespaces"), "facts for heartbeats", False),
    (AccessQuestion("list", "services"), "facts for heartbeats", False),
    (AccessQuestion("list", "deployments", group="apps"), "facts for heartbeats", False),
    (AccessQuestion("get", "services"), "what Services speak (public routes)", False),
    (
        AccessQuestion("list", "endpointslices", group="discovery.k8s.io"),
        "where Services lead (public routes)",
        False,
    ),
    (AccessQuestion("impersonate", "users"), "requests of people (kubectl)", True),
    (
        AccessQuestion("impersonate", "groups", name="pipeops:viewers"),
        "requests of people (kubectl)",
        True,
    ),
)


class ClusterChecks:
    """The checks, in the order in which they depend on each other."""

    def __init__(
        self,
        access: KubeAccess,
        client: Client,
        *,
        namespace: str,
        now: Callable[[], datetime],
    ) -> None:
        self._access = access
        self._client = client
        self._namespace = namespace
        self._now = now

    def checks(self) -> list[Check]:
        """All of them."""
        where = self._access.url
        return [
            Check("cluster name", self.name, "is the cluster's DNS up?"),
            Check(
                "cluster reachable", self.reachable, f"is {where} up, and may this pod reach it?"
            ),
            Check("cluster latency", self.latency),
            Check("cluster identity", self.identity),
            Check("cluster rights", self.rights, APPLY),
        ]

    async def name(self) -> Sequence[Part]:
        """The API server's name resolves."""
        return [await resolves(self._access.host, self._access.port)]

    async def reachable(self) -> Sequence[Part]:
        """Connect with the cluster's CA, compare clocks."""
        access = self._access
        seen = await look(
            access.host,
            access.port,
            path=f"{access.base_path}/version",
            context=access.ssl_context(),
            server_name=access.server_name,
        )
        return [
            Part("ok", f"{access.url} ({access.origin}), {seen.connect * 1000:.0f} ms to connect"),
            tls_part(seen.tls, seen.issuer, seen.not_after, self._now()),
            clock_part(seen.date, self._now(), "the API server"),
        ]

    async def latency(self) -> Sequence[Part]:
        """Ask for the version a few times, each on a new connection."""
        now = asyncio.get_running_loop().time
        took = []
        version = Version()
        for _ in range(SAMPLES):
            started = now()
            version = await self._client.version()
            took.append(now() - started)
        median, worst = statistics.median(took), max(took)
        text = f"{version.git_version}, median {median * 1000:.0f} ms, worst {worst * 1000:.0f} ms"
        if median > SLOW:
            return [Part("warn", text, "the API server is slow: everything through it will be")]
        return [Part("ok", text)]

    async def identity(self) -> Sequence[Part]:
        """Whom the API server takes the agent for."""
        try:
            user = await self._client.who_am_i()
        except KubeError as error:
            return [Part("skip", f"the API server does not say: {error}")]
        privileged = "system:masters" in user.groups
        return [
            Part(
                "warn" if privileged else "ok",
                user.username,
                "it is in system:masters: give the agent an account with less"
                if privileged
                else "",
            )
        ]

    async def rights(self) -> Sequence[Part]:
        """SelfSubjectAccessReviews of what the agent needs."""
        state = (
            AccessQuestion(
                "get", "configmaps", namespace=self._namespace, name="pipeops-agent-state"
            ),
            "the agent's own state",
            False,
        )
        parts = []
        for question, purpose, needed in (*RIGHTS, state):
            allowed = await self._client.may(question)
            what = f"{question.verb} {question.resource}"
            what += f" {question.name}" if question.name else ""
            if allowed:
                parts.append(Part("ok", "allowed", about=what))
            else:
                detail = f"not allowed; needed for {purpose}"
                parts.append(Part("fail" if needed else "warn", detail, APPLY, about=what))
        return parts
