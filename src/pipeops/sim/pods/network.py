"""What listens on the ports of simulated pods: a hello page where HTTP is likely, else an echo."""

import html
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid5

import h11

from pipeops.sim.objects import JsonObject
from pipeops.sim.pods.instances import ANNOTATION
from pipeops.sim.streaming.pipes import Sink, Source

HTTP_PORTS = frozenset({80, 3000, 5000, 8000, 8080, 8081, 8888, 9090, 15672})
HTTP_NAMES = ("http", "web", "metrics", "ui", "api", "dashboard")
END = b"<end>"

Listener = Callable[[Source, Sink], Awaitable[None]]
"""Serves one connection until it ends."""


async def connect(pod: JsonObject, port: int, source: Source, sink: Sink) -> None:
    """Serve one connection to a port; ConnectionRefusedError, in a kubelet's words, when it is closed."""
    listener = listener_of(pod, port)
    if listener is None:
        raise ConnectionRefusedError(refused(pod, port))
    await listener(source, sink)


def listener_of(pod: JsonObject, port: int) -> Listener | None:
    """What listens on a port; None for a closed one."""
    spec = pod["spec"]
    for container in spec.get("containers") or ():
        for each in container.get("ports") or ():
            if each.get("containerPort") == port and each.get("protocol", "TCP") == "TCP":
                name = str(each.get("name", ""))
                is_http = port in HTTP_PORTS or name.startswith(HTTP_NAMES)
                return _hello(pod, port) if is_http else echo
    annotations = pod["metadata"].get("annotations") or {}
    listed = [
        pair.partition("=")[0] for pair in annotations.get(ANNOTATION + "ports", "").split(",")
    ]
    return echo_to_the_end if str(port) in listed else None


def refused(pod: JsonObject, port: int) -> str:
    """What a kubelet on containerd says about a port where nobody listens."""
    uid = str(pod["metadata"].get("uid", ""))
    sandbox = (uuid5(UUID(int=0), uid).hex + uuid5(UUID(int=1), uid).hex)[:64]
    namespace = f"/var/run/netns/cni-{uuid5(UUID(int=2), uid)}"
    return (
        f"error forwarding port {port} to pod {sandbox}, uid : failed to execute portforward in "
        f'network namespace "{namespace}": failed to connect to localhost:{port} inside namespace '
        f'"{sandbox}", IPv4: dial tcp4 127.0.0.1:{port}: connect: connection refused '
        f"IPv6 dial tcp6 [::1]:{port}: connect: connection refused "
    )


async def echo(source: Source, sink: Sink) -> None:
    """Return what comes."""
    while data := await source.read():
        await sink.write(data)


async def echo_to_the_end(source: Source, sink: Sink) -> None:
    """Return what comes; say so when the client has half-closed."""
    await echo(source, sink)
    await sink.write(END)


def _hello(pod: JsonObject, port: int) -> Listener:
    name = html.escape(pod["metadata"]["name"])
    namespace = html.escape(pod["metadata"].get("namespace", ""))
    page = (
        "<!DOCTYPE html>\n<html>\n<head><title>Welcome to nginx!</title></head>\n<body>\n"
        f"<h1>Welcome to nginx!</h1>\n<p>Hello from pod {name} in namespace {namespace}, "
        f"port {port}.</p>\n<p>This is a simulated cluster.</p>\n</body>\n</html>\n"
    ).encode()

    async def serve(source: Source, sink: Sink) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 16)
        try:
            while await _exchange(connection, source, sink, page):
                connection.start_next_cycle()
        except h11.RemoteProtocolError as error:
            if connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                body = b"400 Bad Request\n"
                await _answer(connection, sink, error.error_status_hint, body, close=True)

    return serve


async def _exchange(connection: h11.Connection, source: Source, sink: Sink, page: bytes) -> bool:
    """One request and its answer; whether there can be another."""
    method, target = "", ""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await source.read())
        elif isinstance(event, h11.Request):
            method, target = event.method.decode("latin-1"), event.target.decode("latin-1")
        elif isinstance(event, h11.EndOfMessage):
            break
        elif not isinstance(event, h11.Data):
            return False
    path = target.partition("?")[0]
    if method not in {"GET", "HEAD"}:
        await _answer(connection, sink, 405, b"405 Not Allowed\n")
    elif path in {"/", "/index.html"}:
        await _answer(connection, sink, 200, page, head_only=method == "HEAD")
    elif path in {"/healthz", "/readyz", "/livez"}:
        await _answer(connection, sink, 200, b"ok\n", head_only=method == "HEAD")
    else:
        await _answer(connection, sink, 404, b"404 Not Found\n", head_only=method == "HEAD")
    return connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def _answer(
    connection: h11.Connection,
    sink: Sink,
    status: int,
    body: bytes,
    *,
    head_only: bool = False,
    close: bool = False,
) -> None:
    kind = b"text/html" if body.startswith(b"<") else b"text/plain"
    headers = [(b"Server", b"nginx/1.27.0"), (b"Content-Type", kind)]
    headers.append((b"Content-Length", str(len(body)).encode()))
    if close:
        headers.append((b"Connection", b"close"))
    sent = connection.send(h11.Response(status_code=status, headers=headers)) or b""
    if not head_only:
        sent += connection.send(h11.Data(data=body)) or b""
    sent += connection.send(h11.EndOfMessage()) or b""
    await sink.write(sent)
