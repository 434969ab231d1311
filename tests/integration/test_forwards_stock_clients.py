"""psql and redis-cli through forwards, in the native dialect and through an agent that speaks only the PipeOps one."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.support.fakeapi import FakeApi
from tests.support.goagent import binary
from tests.support.postgresql import running_server
from tests.support.processes import Child, free_port, port_open, wait_until
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CONNECTIONS = 1000
ROWS = 200_000  # about 6 MiB through psql


@dataclass
class Backends:
    """Ports of the real servers on loopback."""

    postgres: int
    redis: int


@dataclass
class Dialect:
    """One kind of agent, and the control plane's ports that lead through it."""

    stack: Stack
    cluster: str
    postgres: int
    redis: int


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed (Debian: apt-get install postgresql)")
    if shutil.which("redis-server") is None or shutil.which("redis-cli") is None:
        pytest.skip("redis is not installed (Debian: apt-get install redis-server redis-tools)")
    directory = tmp_path_factory.mktemp("redis")
    port = free_port()
    redis = Child(
        "redis",
        [
            "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory,
            "--maxclients", "3000", "--protected-mode", "no",
        ],
        log=directory / "redis.log",
    )  # fmt: skip
    try:
        wait_until(lambda: port_open(port), "redis", timeout=20, children=[redis])
        with running_server(free_port()) as postgres:
            yield Backends(postgres.port, port)
    finally:
        redis.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, backends: Backends) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("stock")
    first = free_port()
    ports = ("--forward-ports", f"{first}-{first + 20}")
    with FakeApi() as api, Stack(directory / "stack", tls=False, control_args=ports) as running:
        config = directory / "agent.yaml"
        offered = [
            {"name": "db", "local_addr": f"localhost:{backends.postgres}", "remote_port": 0},
            {"name": "cache", "local_addr": f"localhost:{backends.redis}", "remote_port": 0},
        ]
        config.write_text(json.dumps({"tunnel": {"forwards": offered}}))
        kubeconfig = api.kubeconfig(directory / "kubeconfig")
        token = running.add_cluster("native")
        running.start_agent("native", token, kubeconfig, "--config", str(config))
        yield running


@pytest.fixture(scope="module", params=["native", pytest.param("pipeops", marks=pytest.mark.go)])
def dialect(
    request: pytest.FixtureRequest, stack: Stack, backends: Backends, tmp_path_factory: pytest.TempPathFactory
) -> Dialect:  # fmt: skip
    if request.param == "native":
        return Dialect(stack, "native", port_of(stack, "db"), port_of(stack, "cache"))
    credential = tmp_path_factory.mktemp("goagent") / "service-token"
    credential.write_text("x")
    targets = f"postgres.data:5432=127.0.0.1:{backends.postgres},redis.data:6379=127.0.0.1:{backends.redis}"
    stack.agents["gopher"] = Child(
        "goagent gopher",
        [
            binary(), "-url", stack.url, "-token-file", stack.add_cluster("gopher"), "-name", "gopher",
            "-agent-id", "agent-g", "-kube-url", "http://127.0.0.1:1", "-service-token-file", credential,
            "-targets", targets,
        ],
        log=stack.log("goagent-gopher"),
    )  # fmt: skip
    ports = {}
    for name, target in (("go-db", "postgres.data:5432"), ("go-cache", "redis.data:6379")):
        status, made = stack.request(
            "POST",
            "/api/v1/clusters/gopher/forwards",
            {"name": name, "target": target},
            token=stack.admin_token,
        )
        assert status == 201, made
        ports[name] = made["remote_port"]
    found = Dialect(stack, "gopher", ports["go-db"], ports["go-cache"])
    wait_until(lambda: pinged(found.redis), "the Go agent", timeout=30)
    return found


def port_of(stack: Stack, name: str) -> int:
    _, body = stack.request("GET", "/api/v1/forwards", token=stack.admin_token)
    (port,) = [each["remote_port"] for each in body["items"] if each["name"] == name]
    return int(port)


def pinged(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"PING\r\n")
        return client.recv(100) == b"+PONG\r\n"
    return False


def psql(dialect: Dialect, command: str) -> str:
    done = subprocess.run(
        ["psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(dialect.postgres), "-U", "pipeops", "-d", "postgres", "-c", command],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def redis_cli(dialect: Dialect, *arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        ["redis-cli", "-p", str(dialect.redis), *arguments],
        input=stdin,
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_psql_queries_copies_and_is_told_of_errors(dialect: Dialect) -> None:
    assert psql(dialect, "select 6*7").strip() == "42"
    table = f"t_{dialect.cluster}"
    psql(
        dialect,
        f"create table {table} as select g, md5(g::text) m from generate_series(1,{ROWS}) g",
    )
    copied = psql(dialect, f"copy {table} to stdout")
    assert copied.count("\n") == ROWS
    digest = psql(dialect, f"select md5(string_agg(m, '' order by g)) from {table}")
    assert len(digest.strip()) == 32
    with pytest.raises(AssertionError, match="division by zero"):
        psql(dialect, "select 1/0")


def test_redis_cli_writes_reads_and_pipes(dialect: Dialect) -> None:
    key = f"k-{dialect.cluster}"
    assert redis_cli(dialect, "set", key, "value") == b"OK\n"
    assert redis_cli(dialect, "get", key) == b"value\n"
    large = bytes(range(256)) * 8192
    assert redis_cli(dialect, "-x", "set", key, stdin=large) == b"OK\n"
    assert redis_cli(dialect, "--raw", "get", key) == large + b"\n"
    commands = b"".join(b"incr n-%s\n" % dialect.cluster.encode() for _ in range(5000))
    assert redis_cli(dialect, stdin=commands).splitlines()[-1].endswith(b"5000")


def test_a_thousand_connections_one_of_them_stalled(dialect: Dialect) -> None:
    key = f"big-{dialect.cluster}".encode()
    redis_cli(dialect, "-x", "set", key.decode(), stdin=b"x" * (8 << 20))
    with socket.create_connection(("127.0.0.1", dialect.redis), timeout=20) as stalled:
        for _ in range(8):
            stalled.sendall(b"GET %s\r\n" % key)  # 64 MiB that nobody reads
        clients = [
            socket.create_connection(("127.0.0.1", dialect.redis), timeout=60)
            for _ in range(CONNECTIONS)
        ]
        for number, client in enumerate(clients):
            client.sendall(b"ECHO %d\r\n" % number)
        for number, client in enumerate(clients):
            text = b"%d" % number
            assert client.recv(100) == b"$%d\r\n%s\r\n" % (len(text), text)
            client.close()
    assert pinged(dialect.redis)


def test_ports_stay_over_restarts_of_either_side(dialect: Dialect) -> None:
    """Of the control plane for both; our own agent as well, the Go peer is a test's program and starts no other way."""
    stack = dialect.stack
    assert stack.control is not None
    if dialect.cluster == "native":
        stack.agents["native"].stop()
        stack.restart_agent("native")
        assert psql(dialect, "select 1").strip() == "1"
    stack.control.stop()
    stack.start_control()
    wait_until(lambda: pinged(dialect.redis), "the forward", timeout=60)
    assert psql(dialect, "select 1").strip() == "1"
