"""The API server of a cluster with many Ingresses: `python -m bench.ingress_api PORT INGRESSES`; three paths each.

Ingresses and Services have the size and shape of real ones, with managedFields and what `kubectl apply` leaves behind.
"""

import asyncio
import json
import sys

import uvloop

from bench.large_api import Api, managed, uid

PATHS = ("/", "/api", "/static")


def service(number: int, version: int) -> dict:
    return {
        "metadata": {
            "name": f"service-{number}",
            "namespace": f"team-{number % 300}",
            "uid": uid(4, number),
            "resourceVersion": str(version),
            "labels": {"app": f"service-{number}", "app.kubernetes.io/name": f"service-{number}"},
            "managedFields": managed(15),
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            "selector": {"app": f"service-{number}"},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
        },
        "status": {"loadBalancer": {}},
    }


def ingress(number: int, version: int) -> dict:
    backend = {"service": {"name": f"service-{number}", "port": {"name": "http"}}}
    host = f"service-{number}.apps.example.com"
    rule = {
        "host": host,
        "http": {"paths": [{"path": p, "pathType": "Prefix", "backend": backend} for p in PATHS]},
    }
    spec = {
        "ingressClassName": "nginx",
        "rules": [rule],
        "tls": [{"hosts": [host], "secretName": "tls"}],
    }
    return {
        "metadata": {
            "name": f"service-{number}",
            "namespace": f"team-{number % 300}",
            "uid": uid(5, number),
            "resourceVersion": str(version),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": {
                "cert-manager.io/cluster-issuer": "letsencrypt",
                "nginx.ingress.kubernetes.io/proxy-body-size": "64m",
                "pipeops.io/owner": f"service-{number}",
                "kubectl.kubernetes.io/last-applied-configuration": json.dumps(spec),
            },
            "managedFields": managed(30),
        },
        "spec": spec,
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
    }


class IngressApi(Api):
    """Nothing changes: the cost is that of what there is."""

    def __init__(self, ingresses: int) -> None:
        super().__init__(0, 0, 0)
        self.kinds |= {
            "/apis/networking.k8s.io/v1/ingresses": (ingresses, ingress),
            "/api/v1/services": (ingresses, service),
        }

    async def watch(self, writer: asyncio.StreamWriter, path: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(300.0)
        writer.write(b"0\r\n\r\n")


async def main(port: int, ingresses: int) -> None:
    server = await asyncio.start_server(IngressApi(ingresses).serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:3])))
