"""nginx as the API server's stand-in and as the peer that everything is compared with."""

import json
import shutil
from pathlib import Path

from bench.certificates import Certificates
from bench.processes import Processes, Running, port_open

SMALL = "/api/v1/namespaces/default/configmaps/bench"
LARGE = "/api/v1/large"
LARGE_BYTES = 100 << 20
HUGE = "/api/v1/huge"
HUGE_BYTES = 500 << 20

_HEAD = """
daemon off; master_process off; worker_processes 1;
pid {directory}/{label}.pid; error_log {directory}/{label}.err;
events {{ worker_connections 20000; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
  keepalive_requests 100000000; keepalive_timeout 300s; client_max_body_size 0;
  default_type application/json;
  client_body_temp_path {directory}/{label}.body; proxy_temp_path {directory}/{label}.proxy;
  fastcgi_temp_path {directory}/{label}.f; uwsgi_temp_path {directory}/{label}.u; scgi_temp_path {directory}/{label}.s;
"""

_BACKEND = """
  server {
    listen 127.0.0.1:%(port)d backlog=4096; listen 127.0.0.1:%(service)d backlog=4096;
    root %(root)s;
  }
}
"""

_PROXY = """
  upstream backend { server 127.0.0.1:%(backend)d; keepalive 512; keepalive_requests 100000000; }
  upstream python { server 127.0.0.1:%(python)d; keepalive 64; keepalive_requests 100000000; }
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  proxy_request_buffering off; proxy_max_temp_file_size 0; proxy_read_timeout 600s;
  server {
    listen 127.0.0.1:%(plain)d backlog=4096;
    listen 127.0.0.1:%(tls)d ssl backlog=4096;
    ssl_certificate %(certificate)s; ssl_certificate_key %(key)s; ssl_protocols TLSv1.2 TLSv1.3;
    location /upload { proxy_pass http://python; }
    location /api/v1/watched { proxy_pass http://python; proxy_buffering off; }
    location / { proxy_pass http://backend; }
  }
}
"""


def program() -> str | None:
    """Path of nginx; Debian installs it where only root looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")


def _start(processes: Processes, label: str, body: str, port: int) -> Running:
    directory = processes.directory
    configuration = directory / f"{label}.conf"
    configuration.write_text(_HEAD.format(directory=directory, label=label) + body)
    command = [program() or "nginx", "-e", f"{directory}/{label}.err", "-c", str(configuration)]
    return processes.start(label, command, ready=port_open(port))


def start_backend(processes: Processes, port: int, service: int) -> Running:
    """The backend: a 200-byte JSON answer and large objects, from memory; `service` is its port as a Service."""
    root = processes.directory / "www"
    small = root / SMALL[1:]
    small.parent.mkdir(parents=True)
    text = '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"bench"},"data":{"text":"%s"}}'
    small.write_text(text % ("x" * (200 - len(text) + 2)))
    _sparse(root / LARGE[1:], LARGE_BYTES)
    _sparse(root / HUGE[1:], HUGE_BYTES)
    return _start(
        processes, "backend", _BACKEND % {"port": port, "service": service, "root": root}, port
    )


def add_service(processes: Processes, namespace: str, name: str, port: int) -> None:
    """Let the stand-in API server know a Service whose one endpoint is on loopback."""
    root = processes.directory / "www"
    objects = {
        f"api/v1/namespaces/{namespace}/services/{name}": {
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": port, "protocol": "TCP"}]},
        },
        f"apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices": {
            "items": [
                {
                    "addressType": "IPv4",
                    "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
                    "ports": [{"name": None, "port": port}],
                }
            ]
        },
    }
    for path, document in objects.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document))


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        block = bytes(range(256)) * 4096
        for _ in range(size // len(block)):
            file.write(block)


def start_proxy(
    processes: Processes,
    *,
    backend: int,
    python: int,
    plain: int,
    tls: int,
    certificates: Certificates,
) -> Running:
    """`ng1`: one hop, one worker, upstream connections kept."""
    values = {
        "backend": backend,
        "python": python,
        "plain": plain,
        "tls": tls,
        "certificate": certificates.certificate,
        "key": certificates.key,
    }
    return _start(processes, "ng1", _PROXY % values, plain)
