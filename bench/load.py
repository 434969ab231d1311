"""Load generators: wrk for small requests, plain sockets for large bodies."""

import re
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.processes import BenchError
from bench.topology import Target

KUBECTL_HEADERS = (
    "User-Agent: kubectl/v1.36.0 (linux/amd64) kubernetes/abcdef0",
    "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "Accept-Encoding: gzip",
)
_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}
_BLOCK = memoryview(bytes(1 << 18))


@dataclass(frozen=True)
class Small:
    """Outcome of one wrk run: requests per second, latencies in µs."""

    rps: float
    p50: float
    p99: float
    requests: int


def headers(target: Target) -> list[str]:
    """Request headers as kubectl sends them; peers that check no token get one of the same length."""
    token = target.token or "x" * 53
    return [*KUBECTL_HEADERS, f"Authorization: Bearer {token}"]


def wrk(
    target: Target, path: str, *, connections: int, seconds: float, more: Sequence[str] = ()
) -> Small:
    """Run wrk; any error or other status than 2xx is a failure of the run; `more` are header lines."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "--timeout", "20s"]
    for header in (*headers(target), *more):
        command += ["-H", header]
    done = subprocess.run([*command, target.url(path)], capture_output=True, text=True, check=False)
    text = done.stdout
    if done.returncode or "Non-2xx" in text or "Socket errors" in text:
        raise BenchError(f"wrk against {target.name}: {text[-600:]}{done.stderr[-300:]}")
    latency = {p: re.search(rf"\s{p}%\s+([\d.]+)(\w+)", text) for p in (50, 99)}
    rps = re.search(r"Requests/sec:\s+([\d.]+)", text)
    count = re.search(r"(\d+) requests in", text)
    if rps is None or count is None or not all(latency.values()):
        raise BenchError(f"wrk's output was not understood: {text[-600:]}")
    p50, p99 = (float(m[1]) * _UNITS[m[2]] for m in latency.values() if m is not None)
    return Small(float(rps[1]), p50, p99, int(count[1]))


def connect(target: Target, context: ssl.SSLContext | None) -> socket.socket:
    """A connection to a target; TLS if it has it."""
    raw = socket.create_connection(("127.0.0.1", target.port), 30)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not target.tls:
        return raw
    if context is None:
        raise BenchError("a TLS target needs a context")
    return context.wrap_socket(raw, server_hostname="127.0.0.1")


def request(target: Target, method: str, path: str, *fields: str) -> bytes:
    """A request head."""
    lines = [f"{method} {target.prefix}{path} HTTP/1.1", "Host: 127.0.0.1", *headers(target)]
    return "\r\n".join([*lines, *fields, "", ""]).encode()


def read_head(connection: socket.socket, status: bytes = b" 200 ") -> tuple[bytes, bytes]:
    """Response head, and what of the body came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise BenchError(f"connection closed within a response head: {data[:300]!r}")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    if status not in head[:16]:
        raise BenchError(f"unexpected answer: {data[:400]!r}")
    return head, rest


def get(target: Target, path: str, context: ssl.SSLContext | None = None) -> float:
    """Download once; bytes per second."""
    buffer = bytearray(1 << 18)
    with connect(target, context) as connection:
        began = time.perf_counter()
        connection.sendall(request(target, "GET", path))
        head, rest = read_head(connection)
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        total = int(length[1]) if length else 0
        received = len(rest)
        while received < total:
            size = connection.recv_into(buffer)
            if not size:
                raise BenchError(f"{target.name}: {received} of {total} bytes")
            received += size
        return total / (time.perf_counter() - began)


def put(target: Target, path: str, size: int, context: ssl.SSLContext | None = None) -> float:
    """Upload `size` bytes once; bytes per second."""
    with connect(target, context) as connection:
        began = time.perf_counter()
        connection.sendall(request(target, "PUT", path, f"Content-Length: {size}"))
        left = size
        while left:
            part = min(left, len(_BLOCK))
            connection.sendall(_BLOCK[:part])
            left -= part
        read_head(connection)
        return size / (time.perf_counter() - began)
