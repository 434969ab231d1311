"""A cluster's API as `KubeClient` shows it: lists, watches and discovery from a dictionary that a test changes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from pipeops.agent.ingress.watcher import INGRESSES, SERVICES
from pipeops.kube.errors import KubeError, status_error

GROUP = "/apis/gateway.networking.k8s.io"
HTTP = f"{GROUP}/v1/httproutes"
GRPC = f"{GROUP}/v1/grpcroutes"
GATEWAYS = f"{GROUP}/v1/gateways"


class Cluster:
    """Collections by path; every change goes to whoever watches."""

    def __init__(self) -> None:
        self.version = 1
        self.items: dict[str, dict[tuple[str, str], dict[str, Any]]] = {INGRESSES: {}, SERVICES: {}}
        self.answers: dict[str, Any] = {}
        self.refused: dict[str, KubeError] = {}
        self.watchers: dict[str, list[asyncio.Queue[Any]]] = {}
        self.asked: list[str] = []

    def serve_gateway_api(self, *resources: str, version: str = "v1") -> None:
        name = f"gateway.networking.k8s.io/{version}"
        self.answers[GROUP] = {"versions": [{"groupVersion": name}]}
        self.answers[f"/apis/{name}"] = {"resources": [{"name": each} for each in resources]}
        for each in resources:
            self.items[f"/apis/{name}/{each}"] = {}

    def put(self, path: str, document: dict[str, Any]) -> None:
        self.version += 1
        meta = document["metadata"]
        meta["resourceVersion"] = str(self.version)
        key = (meta["namespace"], meta["name"])
        kind = "MODIFIED" if key in self.items[path] else "ADDED"
        self.items[path][key] = document
        self._tell(path, kind, document)

    def delete(self, path: str, name: str, namespace: str = "shop") -> None:
        self.version += 1
        document = self.items[path].pop((namespace, name))
        document["metadata"]["resourceVersion"] = str(self.version)
        self._tell(path, "DELETED", document)

    def break_watch(self, path: str, error: KubeError) -> None:
        for queue in self.watchers.get(path, []):
            queue.put_nowait(error)

    def _tell(self, path: str, kind: str, document: Any) -> None:
        event = msgspec.json.encode({"type": kind, "object": document})
        for queue in self.watchers.get(path, []):
            queue.put_nowait(event)

    # -- as KubeClient ---------------------------------------------------------------------

    async def fetch(self, target: str, *, seconds: float | None = None) -> bytearray:
        parts = urlsplit(target)
        self.asked.append(f"list {parts.path}")
        if parts.path in self.refused:
            raise self.refused[parts.path]
        found = list(self._collection(parts.path).values())
        query = parse_qs(parts.query)
        begin, limit = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
        meta: dict[str, Any] = {"resourceVersion": str(self.version)}
        if begin + limit < len(found):
            meta["continue"] = str(begin + limit)
        body = {"metadata": meta, "items": found[begin : begin + limit]}
        return bytearray(msgspec.json.encode(body))

    async def lines(self, target: str, *, silence: float) -> AsyncIterator[bytes]:
        path = urlsplit(target).path
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self.watchers.setdefault(path, []).append(queue)
        try:
            while True:
                event = await queue.get()
                if isinstance(event, KubeError):
                    raise event
                yield event
        finally:
            self.watchers[path].remove(queue)

    async def get(self, path: str, kind: Any, *, accept: str = "") -> Any:
        self.asked.append(f"get {path}")
        answer = self.answers.get(path, status_error(404, "NotFound", "no such API"))
        if isinstance(answer, KubeError):
            raise answer
        return msgspec.convert(answer, kind)

    def _collection(self, path: str) -> dict[Any, Any]:
        if path not in self.items:
            raise status_error(404, "NotFound", "no such resource")
        return self.items[path]


def ingress(name: str = "web", *hosts: str, port: int | str = 80, **meta: Any) -> dict[str, Any]:
    which = {"number": port} if isinstance(port, int) else {"name": port}
    backend = {"service": {"name": "web", "port": which}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "metadata": {"name": name, "namespace": "shop", **meta},
        "spec": {"rules": [{"host": host, "http": {"paths": [path]}} for host in hosts]},
    }


def service(name: str = "web", namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    spec = {"type": "ClusterIP", "ports": [{"name": "http", "port": 80}], **spec}
    status = spec.pop("status", {})
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec, "status": status}


def route(name: str = "api", *hosts: str, parent: str = "edge") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "hostnames": list(hosts),
            "parentRefs": [{"name": parent}],
            "rules": [{"backendRefs": [{"name": "web", "port": 80}]}],
        },
    }
