"""Clients that leave, stall or vanish: the cluster stops working for them at once, and nobody else notices."""

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.chaos.bench import CLUSTER, Bench
from tests.chaos.flows import Flow, start_all, stop_all
from tests.support.faults import held, sockets_to
from tests.support.kubectl import Background
from tests.support.processes import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(120)]

CANCELLED = 1.0  # seconds until the API server no longer works for a client that left
TCP_REPAIR = 19  # tcp(7): a socket closed in this mode sends nothing


def _seconds_until(condition: Callable[[], bool], timeout: float = 10) -> float:
    return wait_until(condition, "the end", timeout=timeout, interval=0.01)


def _api_connections(bench: Bench) -> int:
    """Connections from agent to API server that serve somebody."""
    port = int(bench.apiserver.url.rpartition(":")[2])
    return sockets_to(bench.agent.pid, port) - held(bench.agent)["upstream_idle"]


def test_killed_clients_are_cancelled_at_the_api_server(healthy: Bench) -> None:
    bench = healthy
    bench.network.rate = None  # what fills the sockets of a slow network would have to go first
    own = _api_connections(bench)  # the agent follows the cluster with watches of its own
    flows = start_all(bench.place)
    try:
        for left in range(len(flows), 0, -1):
            # Waited for: now and then the agent asks something for itself.
            _seconds_until(lambda left=left: _api_connections(bench) == own + left)
            flow = flows[left - 1]
            flow.process.kill()
            seconds = _seconds_until(lambda left=left: _api_connections(bench) <= own + left - 1)
            print(f"{flow.name}: {seconds:.2f} s")
            assert seconds <= CANCELLED, flow.name
    finally:
        stop_all(flows)
    bench.back_at_baseline()


def test_a_killed_exec_ends_its_process_in_the_pod(healthy: Bench) -> None:
    bench = healthy
    script = "echo $$ > pid; echo running; exec sleep 900"
    with bench.kubectl.start("exec", bench.place.pod, "--", "sh", "-c", script) as client:
        client.stdout.expect(b"running")
        pid = int((bench.place.root / "pid").read_text())
        assert _alive(pid)
        client.kill()
        assert _seconds_until(lambda: not _alive(pid)) <= CANCELLED


def test_a_client_that_never_reads_costs_no_memory_and_hinders_nobody(healthy: Bench) -> None:
    bench = healthy
    before = {"control": held(bench.control), "agent": held(bench.agent)}
    quiet = _gets(bench)
    with bench.kubectl.start("exec", bench.place.pod, "--", "cat", "big") as reader:
        with_bytes = wait_until(lambda: len(bytes(reader.stdout)) > 1 << 20, "bytes", timeout=20)
        assert with_bytes < 20
        _signal(reader, signal.SIGSTOP)
        time.sleep(3)  # everything between the pod and the client fills up
        stalled = _gets(bench)
        after = {"control": held(bench.control), "agent": held(bench.agent)}
        # The process still runs and waits: nothing has been buffered to its end.
        assert reader.running
    print(f"quiet {quiet}, beside a stalled reader {stalled}")
    assert stalled[len(stalled) // 2] <= 2 * quiet[len(quiet) // 2] + 0.1
    for process, figures in after.items():
        grown = figures["resident_kib"] - before[process]["resident_kib"]
        print(f"{process} grew by {grown} KiB")
        assert grown < 24 * 1024
    bench.back_at_baseline()


def test_a_client_that_vanished_without_a_word_is_dropped(healthy: Bench) -> None:
    """Half-open: no FIN, no RST, nothing is sent to it either; keepalive finds out after 30 s."""
    bench = healthy
    raw = _watching(bench)
    _seconds_until(lambda: held(bench.control)["streams"] == 1)
    _vanish(raw)
    seconds = _seconds_until(lambda: held(bench.control)["clients"] == 0, timeout=75)
    print(f"noticed after {seconds:.0f} s")
    bench.back_at_baseline()


def test_a_vanished_client_is_dropped_at_once_when_it_gets_something(healthy: Bench) -> None:
    bench = healthy
    raw = _watching(bench)
    _seconds_until(lambda: held(bench.control)["streams"] == 1)
    _vanish(raw)
    bench.kubectl.run("create", "configmap", "for-nobody")
    bench.kubectl.run("delete", "configmap", "for-nobody")
    assert _seconds_until(lambda: held(bench.control)["clients"] == 0) < 5
    bench.back_at_baseline()


def test_a_short_outage_interrupts_nothing(healthy: Bench) -> None:
    """Eight seconds without a packet are shorter than the silence that ends a tunnel."""
    bench = healthy
    registrations = bench.network.accepted[:]
    flows = start_all(bench.place)
    try:
        bench.network.block()
        time.sleep(8)
        logged = len(bytes(flows[1].process.stdout))
        bench.network.unblock()
        _seconds_until(lambda: len(bytes(flows[1].process.stdout)) > logged + 500, timeout=20)
        bench.kubectl.run("create", "configmap", "after-the-outage")
        flows[0].process.stdout.expect(b"configmap/after-the-outage", timeout=10)
        for flow in _copies(flows):
            assert flow.process.wait(90) == 0, bytes(flow.process.stderr)
        assert (bench.place.root / "upload").stat().st_size == bench.place.big.stat().st_size
        assert (bench.place.scratch / "download").stat().st_size == bench.place.big.stat().st_size
        assert all(flow.process.running for flow in flows if flow not in _copies(flows))
        assert bench.network.accepted == registrations
    finally:
        stop_all(flows)
        bench.kubectl.run("delete", "configmap", "after-the-outage", "--ignore-not-found")
    bench.back_at_baseline()


def _copies(flows: list[Flow]) -> list[Flow]:
    return [flow for flow in flows if flow.name.startswith("cp")]


def _gets(bench: Bench) -> list[float]:
    """Seconds of small requests, sorted."""
    token = bench.stack.admin_token
    seconds = []
    for _ in range(20):
        began = time.monotonic()
        status, _body = bench.stack.request("GET", f"/k8s/{CLUSTER}/version", token=token)
        seconds.append(round(time.monotonic() - began, 3))
        assert status == 200
    return sorted(seconds)


def _watching(bench: Bench) -> socket.socket:
    """A TLS connection on which a watch is under way, as its plain socket."""
    plain = socket.create_connection(("127.0.0.1", bench.stack.port), timeout=10)
    tls = bench.stack.ssl_context().wrap_socket(plain, server_hostname="127.0.0.1")
    path = f"/k8s/{CLUSTER}/api/v1/namespaces/{bench.kubectl.namespace}/configmaps?watch=true"
    tls.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bench.stack.admin_token}\r\n\r\n".encode()
    )
    received = b""
    while b"ADDED" not in received:
        received += tls.recv(65536)
    tls.settimeout(1)
    with suppress(TimeoutError):
        while tls.recv(65536):  # until nothing is on its way any more
            pass
    return socket.socket(fileno=tls.detach())


def _vanish(raw: socket.socket) -> None:
    try:
        raw.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except PermissionError:
        raw.close()
        pytest.skip("closing a socket without a packet needs CAP_NET_ADMIN")
    raw.close()


def _signal(process: Background, number: signal.Signals) -> None:
    os.kill(process._process.pid, number)


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
