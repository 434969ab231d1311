"""The API server of a large cluster that exists only as text: `python -m bench.large_api PORT NODES PODS EVENTS_PER_SECOND`.

Lists come in pages with continue tokens, watches send changed pods at a steady rate and bookmarks. Objects have the size
and shape of real ones: a pod is 5 KB, a node 8 KB, both with managedFields. Every ninety seconds the pods' watch ends with
410, so that one run also measures listing again while everything is known.
"""

import asyncio
import json
import sys
import time
import uuid
from urllib.parse import parse_qs, urlsplit

import uvloop

RELIST_AFTER = 90.0
PHASES = ("Running",) * 17 + ("Pending", "Succeeded", "Failed")
REQUESTS = (("100m", "128Mi"), ("250m", "256Mi"), ("500m", "1Gi"), ("1", "2Gi"), ("50m", "64Mi"))


def managed(size: int) -> list[dict]:
    fields = {f"f:field{number}": {".": {}, "f:value": {}} for number in range(size)}
    return [
        {
            "manager": "kube-controller-manager",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": fields, "f:spec": fields},
        }
    ]


def uid(kind: int, number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}/{number}"))


def node(number: int, version: int) -> dict:
    amounts = {"cpu": "16", "memory": "65843196Ki", "pods": "110", "ephemeral-storage": "203Gi"}
    return {
        "metadata": {
            "name": f"ip-10-0-{number // 250}-{number % 250}.eu-west-1.compute.internal",
            "uid": uid(1, number),
            "resourceVersion": str(version),
            "labels": {
                "kubernetes.io/arch": "amd64",
                "eks.amazonaws.com/nodegroup": f"group-{number % 7}",
                **{f"example.com/label-{each}": f"value-{number}" for each in range(10)},
            },
            "managedFields": managed(40),
        },
        "spec": {"providerID": f"aws:///eu-west-1a/i-{number:017x}"},
        "status": {
            "capacity": amounts,
            "allocatable": {**amounts, "cpu": "15890m"},
            "conditions": [
                {"type": kind, "status": status, "reason": "Fine", "message": "kubelet is fine"}
                for kind, status in (("MemoryPressure", "False"), ("Ready", "True"))
            ],
            "nodeInfo": {
                "kubeletVersion": "v1.33.1-eks-1a2b3c4",
                "containerRuntimeVersion": "containerd://1.7.27",
                "osImage": "Amazon Linux 2023",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
            "images": [
                {"names": [f"registry.example.com/team/app-{each}@sha256:{each:064x}"]}
                for each in range(30)
            ],
        },
    }


def pod(number: int, version: int, phase: str | None = None) -> dict:
    cpu, memory = REQUESTS[number % len(REQUESTS)]
    return {
        "metadata": {
            "name": f"service-{number % 900}-6d4cf56db6-{number:05x}",
            "namespace": f"team-{number % 300}",
            "uid": uid(2, number),
            "resourceVersion": str(version),
            "labels": {"app": f"service-{number % 900}", "pod-template-hash": "6d4cf56db6"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "x", "uid": uid(3, number % 900)}],
            "managedFields": managed(25),
        },
        "spec": {
            "nodeName": f"ip-10-0-{number % 5000}",
            "containers": [
                {
                    "name": name,
                    "image": f"registry.example.com/team/{name}:1.2.3",
                    "resources": {
                        "requests": {"cpu": cpu, "memory": memory},
                        "limits": {"memory": "4Gi"},
                    },
                    "env": [{"name": f"VARIABLE_{each}", "value": "x" * 20} for each in range(12)],
                }
                for name in ("main", "proxy")
            ],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
        },
        "status": {
            "phase": phase or PHASES[number % len(PHASES)],
            "podIP": "10.1.2.3",
            "conditions": [{"type": "Ready", "status": "True"}] * 4,
            "containerStatuses": [
                {"name": name, "ready": True, "imageID": f"sha256:{number:064x}"}
                for name in ("main", "proxy")
            ],
        },
    }


class Api:
    """Answers one request per connection."""

    def __init__(self, nodes: int, pods: int, rate: int) -> None:
        self.kinds = {"/api/v1/nodes": (nodes, node), "/api/v1/pods": (pods, pod)}
        self.rate = rate
        self.version = 1000

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            url = urlsplit(head.split(b" ", 2)[1].decode())
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            if url.path == "/version":
                self.send(writer, 200, b'{"gitVersion":"v1.33.1-eks-1a2b3c4"}')
            elif url.path not in self.kinds:
                self.send(writer, 404, b'{"kind":"Status","reason":"NotFound","code":404}')
            elif "watch" in query:
                await self.watch(writer, url.path)
            else:
                self.page(writer, url.path, query)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def send(self, writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)

    def page(self, writer: asyncio.StreamWriter, path: str, query: dict[str, str]) -> None:
        total, make = self.kinds[path]
        start = int(query.get("continue", "0"))
        end = min(start + int(query["limit"]), total)
        meta = {"resourceVersion": "1000"}
        if end < total:
            meta |= {"continue": str(end), "remainingItemCount": total - end}
        items = [make(number, 1000) for number in range(start, end)]
        body = {"kind": "List", "apiVersion": "v1", "metadata": meta, "items": items}
        self.send(writer, 200, json.dumps(body, separators=(",", ":")).encode())

    async def watch(self, writer: asyncio.StreamWriter, path: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        total, make = self.kinds[path]
        pods = make is pod
        began, number = time.monotonic(), 0
        while True:
            await asyncio.sleep(0.1)
            for _ in range(self.rate // 10 if pods else 1):
                self.version += 1
                number = (number + 7919) % total
                changed = (
                    pod(number, self.version, PHASES[(number + self.version) % len(PHASES)])
                    if pods
                    else node(number, self.version)
                )
                self.event(writer, "MODIFIED", changed)
            if pods and time.monotonic() - began > RELIST_AFTER:
                status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
                self.event(writer, "ERROR", status)
                writer.write(b"0\r\n\r\n")
                return
            await writer.drain()

    def event(self, writer: asyncio.StreamWriter, kind: str, body: dict) -> None:
        line = json.dumps({"type": kind, "object": body}, separators=(",", ":")).encode() + b"\n"
        writer.write(b"%x\r\n%s\r\n" % (len(line), line))


async def main(port: int, nodes: int, pods: int, rate: int) -> None:
    api = Api(nodes, pods, rate)
    server = await asyncio.start_server(api.serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:5])))
