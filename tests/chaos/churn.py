"""A day of one agent's life in minutes: its tunnel is cut, its tokens change, requests come and go."""

import json
import socket
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.fakeapi import VERSION, FakeApi, Received, answer
from tests.support.faults import Relay, held
from tests.support.processes import Child, wait_until
from tests.support.stack import Stack

CLUSTER = "churn"
CLIENTS = 2  # connections that ask one request after the other, while the tunnel is cut and mended
WATCH_EACH = 100  # every so many requests of a client, one is a watch that it drops
BACK = 20.0  # seconds after a cut until the cluster is reachable again

# Redials at once: ten thousand pauses of half a second would be nothing but waiting.
FAST = {"TIMEOUTS_WEBSOCKET_RECONNECT": "2ms", "TIMEOUTS_WEBSOCKET_RECONNECT_MAX": "50ms"}


class Client:
    """One kept-alive connection of a user to the control plane."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._context = stack.ssl_context()
        self._token = stack.admin_token
        self._socket: ssl.SSLSocket | None = None

    def get(self, path: str) -> int:
        """Status of one GET; a connection that was closed meanwhile is opened again."""
        try:
            return self._get(path)
        except OSError:
            self.close()
            return self._get(path)

    def drop_a_watch(self) -> None:
        """Begin a watch, and leave without a word once it has begun."""
        with suppress(OSError), self._connect() as connection:
            connection.sendall(self._request(f"/k8s/{CLUSTER}/api/v1/churn?watch=true"))
            connection.recv(65536)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _get(self, path: str) -> int:
        if self._socket is None:
            self._socket = self._connect()
        self._socket.sendall(self._request(path))
        head, _, body = self._until_head(self._socket).partition(b"\r\n\r\n")
        fields = head.lower()
        length = int(fields.partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < length:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError("the body was cut short")
            body += more
        if b"connection: close" in fields:
            self.close()
        return int(head.split(b" ", 2)[1])

    def _until_head(self, connection: ssl.SSLSocket) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            more = connection.recv(65536)
            if not more:
                raise ConnectionError("closed before the answer")
            received += more
        return received

    def _connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self._stack.port), timeout=30)
        return self._context.wrap_socket(plain, server_hostname="127.0.0.1")

    def _request(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n\r\n".encode()


class Churn:
    """Control plane, a network that can be cut, one agent, an API server that knows one token at a time.

    Attributes:
        reconnects: Times the tunnel was lost and came back.
        rotations: Times both of the agent's tokens changed, the control plane's and the API server's.
        streams: Requests answered with 200, and watches.
        refused: Requests that met a tunnel which was down.
    """

    def __init__(self, directory: Path) -> None:
        self.stack = Stack(directory, control_args=("--no-access-log",))
        self.network = Relay(self.stack.port)
        self.api = FakeApi()
        self.reconnects = self.rotations = self.streams = self.refused = 0
        self._directory = directory
        self._service_account = directory / "service-account-token"
        self._write(self._service_account, "canary-0")
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.api.on("/", self._behave)
        self.api.__enter__()
        self.stack.start_control()
        self.network.__enter__()
        self.token_file = self.stack.add_cluster(CLUSTER)
        self.token_id = self._tokens()[0]
        self.stack.start_agent(
            CLUSTER,
            self.token_file,
            self._kubeconfig(),
            url=f"https://127.0.0.1:{self.network.port}",
            env=FAST,
        )
        self._prober = Client(self.stack)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.network.__exit__(kind, error, trace)
        self.stack.stop()
        self.api.__exit__(kind, error, trace)

    @property
    def processes(self) -> dict[str, Child]:
        assert self.stack.control is not None
        return {"control plane": self.stack.control, "agent": self.stack.agents[CLUSTER]}

    def round(self, *, reconnects: int, streams: int, rotations: int) -> None:
        """Cut the tunnel so often, spread `rotations` over it, and ask `streams` requests beside it."""
        stop_at = self.streams + streams
        clients = [threading.Thread(target=self._ask, args=(stop_at,)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for index in range(reconnects):
            if rotations and index % (reconnects // rotations) == 0:
                self._rotate()
            else:
                self._cut()
        for client in clients:
            client.join()
        self.api.received.clear()
        self.api.own.clear()

    def figures(self) -> dict[str, dict[str, int]]:
        """What both processes hold once nobody asks for anything."""
        self._prober.close()
        agent, control = self.processes["agent"], self.processes["control plane"]
        wait_until(
            lambda: held(agent)["lanes"] == 2 and held(control)["clients"] == 0,
            "a quiet product",
            timeout=30,
            interval=0.3,
        )
        found = {name: held(child) for name, child in self.processes.items()}
        found["agent"]["descriptors"] -= found["agent"].pop("upstream_idle")
        return found

    def _cut(self) -> None:
        before = len(self.network.accepted)
        self.network.reset_all()
        self._back(before)

    def _rotate(self) -> None:
        """As an operator does: the new token first, then the old one counts no longer."""
        before = len(self.network.accepted)
        status, issued = self._control("POST", f"/api/v1/clusters/{CLUSTER}/tokens", {})
        assert status == 201, issued
        self._write(self.token_file, issued["token"])
        self._write(self._service_account, f"canary-{self.rotations + 1}")
        path = f"/api/v1/clusters/{CLUSTER}/tokens/{self.token_id}"
        status, body = self._control("DELETE", path)
        assert status == 204, body
        self.token_id = issued["token_id"]
        self._back(before)
        self.rotations += 1

    def _back(self, accepted: int) -> None:
        """Until the cluster answers over a tunnel that was dialled after the cut."""
        deadline = time.monotonic() + BACK
        path = f"/k8s/{CLUSTER}/version"
        while len(self.network.accepted) == accepted or self._prober.get(path) != 200:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not back {BACK:g} s after cut number {self.reconnects + 1}")
            for child in self.processes.values():
                child.check()
            time.sleep(0.002)
        self.reconnects += 1

    def _ask(self, stop_at: int) -> None:
        client = Client(self.stack)
        asked = 0
        while self.streams < stop_at:
            asked += 1
            if asked % WATCH_EACH:
                status = client.get(f"/k8s/{CLUSTER}/version")
            else:
                client.drop_a_watch()
                status = 200
            with self._lock:
                self.streams += status == 200
                self.refused += status != 200
            if status != 200:
                time.sleep(0.005)  # a person, too, would not ask again at once
        client.close()

    def _behave(self, connection: socket.socket, request: Received) -> None:
        token = self._service_account.read_text()
        if request.values("Authorization") != [f"Bearer {token}"]:
            connection.sendall(answer("401 Unauthorized", b"{}", "Content-Type: application/json"))
        elif "watch=" in request.target:
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
            self.api.swallow(connection, 3600)
            connection.close()
        else:
            body = VERSION if request.target.startswith("/version") else b'{"items":[]}'
            connection.sendall(answer("200 OK", body, "Content-Type: application/json"))

    def _kubeconfig(self) -> Path:
        path = self._directory / "churn.kubeconfig"
        user = {"tokenFile": str(self._service_account)}
        cluster = {"server": f"http://127.0.0.1:{self.api.port}"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "churn",
            "clusters": [{"name": "churn", "cluster": cluster}],
            "users": [{"name": "agent", "user": user}],
            "contexts": [{"name": "churn", "context": {"cluster": "churn", "user": "agent"}}],
        }
        path.write_text(json.dumps(document))
        return path

    def _tokens(self) -> list[str]:
        _, body = self._control("GET", f"/api/v1/clusters/{CLUSTER}")
        return [each["id"] for each in body["tokens"] if each.get("revoked_at") is None]

    def _control(self, method: str, path: str, body: object = None) -> tuple[int, dict]:
        return self.stack.request(method, path, body, token=self.stack.admin_token)

    @staticmethod
    def _write(path: Path, token: str) -> None:
        """Whole or not at all, as kubelet does it."""
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(token)
        new.replace(path)
