"""A simulated cluster without sockets: time by hand, requests as calls."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from pipeops.sim.access.users import User
from pipeops.sim.api import ApiServer
from pipeops.sim.cluster import ADMIN, SimulatedCluster
from pipeops.sim.controllers.all import all_controllers
from pipeops.sim.http import Request, Response, Streaming
from pipeops.sim.kinds import GroupResource, Resource
from pipeops.sim.managed import Actor
from pipeops.sim.objects import JsonObject
from pipeops.sim.seed import seed

ADMIN_TOKEN = "admin-token"
START = 1_767_225_600.0  # 2026-01-01T00:00:00Z


class HandClock:
    """Wall time that the test moves."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time


def request(
    method: str,
    target: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
    token: str = ADMIN_TOKEN,
) -> Request:
    """A request as the HTTP server hands it over."""
    path, _, query = target.partition("?")
    sent = {"user-agent": "unit-test/1", **(headers or {})}
    if token:
        sent.setdefault("authorization", f"Bearer {token}")
    data = b""
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent.setdefault("content-type", "application/json")

    async def read_body(limit: int) -> bytes:
        assert len(data) <= limit
        return data

    return Request(
        method=method,
        target=target,
        path=unquote(path),
        query=parse_qs(query, keep_blank_values=True),
        headers=[(key.lower(), value) for key, value in sent.items()],
        peer_certificate={},
        read_body=read_body,
    )


@dataclass
class Answered:
    status: int
    body: Any
    headers: dict[str, str]
    text: str


@dataclass
class World:
    """A cluster, its controllers and its API."""

    clock: HandClock
    cluster: SimulatedCluster
    errors: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.controllers = all_controllers(
            self.cluster, self.errors.append, authority="the CA", start_seconds=0.3
        )
        self.api = ApiServer(self.cluster)
        self.controllers.settle()

    def run(self, seconds: float = 3.0) -> None:
        """Let the controllers work for a while."""
        for _ in range(int(seconds * 10)):
            self.clock.time += 0.1
            self.controllers.settle()
        assert self.errors == []

    async def __call__(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        token: str = ADMIN_TOKEN,
    ) -> Answered:
        """One request through the API server."""
        answer = await self.api.handle(request(method, target, body, headers=headers, token=token))
        assert isinstance(answer, Response | Streaming)
        data = answer.body if isinstance(answer, Response) else b""
        try:
            shown = json.loads(data)
        except ValueError:
            shown = data.decode(errors="replace")
        return Answered(answer.status, shown, dict(answer.headers), data.decode(errors="replace"))

    def put(self, obj: JsonObject, namespace: str = "") -> JsonObject:
        """Create an object as the controllers do."""
        resource = self.resource(obj["apiVersion"], obj["kind"])
        if resource.namespaced:
            namespace = namespace or obj["metadata"].get("namespace") or "default"
        actor = Actor("test", resource.group_version)
        return self.cluster.writer.create(resource, namespace, obj, actor)

    def resource(self, group_version: str, kind: str) -> Resource:
        return self.cluster.writer.resource(group_version, kind)

    def get(self, group: str, plural: str, namespace: str, name: str) -> JsonObject | None:
        return self.cluster.store.get(GroupResource(group, plural), namespace, name)

    def all(self, group: str, plural: str, namespace: str = "") -> list[JsonObject]:
        return self.cluster.store.objects(GroupResource(group, plural), namespace)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def cluster(clock: HandClock) -> SimulatedCluster:
    """A seeded cluster without demo workloads and without controllers."""
    tokens: dict[str, User] = {ADMIN_TOKEN: ADMIN}
    made = SimulatedCluster(clock=clock, tokens=tokens, signing_key=b"k" * 32)
    seed(made, workloads=False)
    return made


@pytest.fixture
def world(clock: HandClock, cluster: SimulatedCluster) -> World:
    return World(clock, cluster)


def config_map(name: str, **data: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, **spec: Any) -> JsonObject:
    container = {"name": "main", "image": "example/main:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], **spec},
    }


def workload(kind: str, name: str, replicas: int | None = 2, **spec: Any) -> JsonObject:
    """A Deployment, ReplicaSet, StatefulSet or DaemonSet."""
    labels = {"app": name}
    count = {} if replicas is None else {"replicas": replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            **count,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod(name)["spec"]},
            **spec,
        },
    }
