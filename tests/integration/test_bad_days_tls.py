"""TLS on the way to the control plane: client certificates asked for by a real nginx, other CAs, no TLS at all."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.certificates import Authority, KeyPair
from tests.support.fakeapi import FakeApi
from tests.support.faults import log_records
from tests.support.middleboxes import MutualTls
from tests.support.processes import Child, wait_until
from tests.support.programs_of_ours import agent_process
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow]

CLUSTER = "mutual"


@dataclass
class Site:
    """A cleartext control plane behind nginx, and one with TLS of its own; agents know only the first's CA."""

    stack: Stack
    nginx: MutualTls
    authority: Authority
    token: Path
    kubeconfig: Path
    directory: Path

    def agent(
        self, *, wait: bool = True, pair: KeyPair | None = None, ca: Path | None = None
    ) -> Child:
        """An agent of the cluster, through nginx."""
        env = {}
        if pair is not None:
            env = {
                "PIPEOPS_TLS_CERT_FILE": str(pair.certificate),
                "PIPEOPS_TLS_KEY_FILE": str(pair.key),
            }
        return self.stack.start_agent(
            CLUSTER, self.token, self.kubeconfig, "--ca-file", str(ca or self.authority.ca_file),
            url=self.nginx.url, env=env, wait=wait,
        )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    (directory / "nginx").mkdir()
    authority = Authority(directory / "outside", "outside-ca")
    server = authority.server("nginx", "127.0.0.1")
    stack = Stack(directory, tls=False)
    nginx = MutualTls(directory / "nginx", stack.port, server, authority.ca_file)
    with FakeApi() as api, stack, nginx:
        kubeconfig = api.kubeconfig(directory / "fake.kubeconfig")
        yield Site(stack, nginx, authority, stack.add_cluster(CLUSTER), kubeconfig, directory)


@pytest.fixture(autouse=True)
def _clean(site: Site) -> Iterator[None]:
    site.stack.log(f"agent-{CLUSTER}").unlink(missing_ok=True)
    yield
    if CLUSTER in site.stack.agents:
        site.stack.agents[CLUSTER].stop()
        log = site.stack.log(f"agent-{CLUSTER}")
        assert not log.exists() or "Traceback" not in log.read_text(errors="replace")


def not_reached(agent: Child, *words: str) -> None:
    """The first message says it all, and the agent goes on trying."""
    wait_until(lambda: "not reached" in agent.log.read_text(), "the message", timeout=30)
    records = [each for each in log_records(agent.log) if "not reached" in each["msg"]]
    for word in words:
        assert word in records[0]["error"], records[0]
    assert agent.running


def test_with_a_client_certificate_and_the_cas_file_it_works(site: Site) -> None:
    agent = site.agent(pair=site.authority.client("agent", "agent"))
    agent.check()


def test_without_a_client_certificate_the_settings_that_lack_are_named(site: Site) -> None:
    not_reached(
        site.agent(wait=False),
        "SSL certificate",
        "wants a client certificate",
        "pipeops.tls.cert_file",
    )


def test_a_client_certificate_of_another_ca_is_said_to_be_untrusted(site: Site) -> None:
    stranger = Authority(site.directory / "stranger", "strange-ca").client("agent", "agent")
    not_reached(site.agent(wait=False, pair=stranger), "SSL certificate error", "that it trusts")


def test_an_expired_client_certificate_stops_the_start(site: Site) -> None:
    expired = site.authority.client("expired", "agent", days=-1)
    agent = site.agent(wait=False, pair=expired)
    wait_until(lambda: not agent.running, "its end", timeout=30)
    assert agent.exit_code == 1
    last = log_records(agent.log)[-1]
    assert last["level"] == "error"
    for word in (str(expired.certificate), "expired on"):
        assert word in last["error"]


def test_a_client_certificate_that_was_renewed_is_shown_at_the_next_dial(site: Site) -> None:
    pair = Authority(site.directory / "wrong", "strange-ca").client("renewed", "agent")
    agent = site.agent(wait=False, pair=pair)
    not_reached(agent, "client certificate")
    right = site.authority.client("renewed", "agent")
    pair.key.write_bytes(right.key.read_bytes())
    pair.certificate.write_bytes(right.certificate.read_bytes())
    site.stack.wait_connected(CLUSTER, agent, timeout=30)


def test_a_control_plane_with_a_certificate_of_another_ca_is_not_trusted(site: Site) -> None:
    other = Authority(site.directory / "other", "other-ca")
    agent = site.agent(wait=False, pair=site.authority.client("agent", "agent"), ca=other.ca_file)
    not_reached(agent, "is not trusted", "--ca-file")


@pytest.mark.parametrize(
    ("hosts", "days", "words"),
    [
        (("elsewhere.test",), 1, ["is not trusted", "mismatch", "pipeops.api_url"]),
        (("127.0.0.1",), -1, ["is not trusted", "expired", "renewed"]),
    ],
    ids=["another-host", "expired"],
)
def test_a_certificate_that_does_not_hold_says_why(
    site: Site, tmp_path: Path, hosts: tuple[str, ...], days: int, words: list[str]
) -> None:
    pair = site.authority.server(f"bad{days}", *hosts, days=days)
    with tls_server(pair) as port, agent_of(site, tmp_path, f"https://127.0.0.1:{port}") as agent:
        not_reached(agent, *words)


def test_s22_an_untrusted_control_plane_gets_no_byte_but_tls_and_no_second_chance_in_cleartext(
    site: Site, tmp_path: Path
) -> None:
    pair = Authority(tmp_path / "other", "other-ca").server("other", "127.0.0.1")
    beginnings: list[bytes] = []
    secrets: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)

    def speak(connection: socket.socket) -> None:
        beginnings.append(connection.recv(1, socket.MSG_PEEK))
        with context.wrap_socket(connection, server_side=True) as stream:
            secrets.append(stream.recv(1))

    with server(speak) as port, agent_of(site, tmp_path, f"https://127.0.0.1:{port}") as agent:
        not_reached(agent, "is not trusted")
        wait_until(lambda: len(beginnings) > 2, "further dials", timeout=20, children=[agent])
    assert set(beginnings) == {b"\x16"}
    assert not any(secrets)


def test_a_server_that_asks_for_a_certificate_by_tls_itself(site: Site, tmp_path: Path) -> None:
    """Not every terminator answers in HTTP: most refuse within the handshake, or right after it."""
    pair = site.authority.server("strict", "127.0.0.1")
    with (
        tls_server(pair, clients=site.authority.ca_file) as port,
        agent_of(site, tmp_path, f"https://127.0.0.1:{port}") as agent,
    ):
        not_reached(agent, "want a client certificate", "pipeops.tls.cert_file")


def test_cleartext_on_an_https_url_is_recognised(site: Site, tmp_path: Path) -> None:
    with agent_of(site, tmp_path, site.stack.url.replace("http", "https")) as agent:
        not_reached(agent, "does not speak TLS on this port", "http://")


def test_tls_on_an_http_url_is_recognised(site: Site, tmp_path: Path) -> None:
    with agent_of(site, tmp_path, site.nginx.url.replace("https", "http")) as agent:
        not_reached(agent, "400", "https://")


def test_our_own_tls_port_on_an_http_url_is_recognised(site: Site, tmp_path: Path) -> None:
    with (
        Stack(tmp_path / "tls") as stack,
        agent_of(site, tmp_path, stack.url.replace("https", "http")) as agent,
    ):
        not_reached(agent, "closed", "https://")


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"220 mail.test ESMTP\r\n" * 2, ["does not speak TLS"]),
        (b"\x00\xff" * 4000, ["TLS"]),
        (b"", ["closed"]),
    ],
    ids=["smtp", "noise", "silence-and-end"],
)
def test_a_server_that_speaks_something_else_is_said_so(
    site: Site, tmp_path: Path, greeting: bytes, words: list[str]
) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(greeting)

    with server(speak) as port, agent_of(site, tmp_path, f"https://127.0.0.1:{port}") as agent:
        not_reached(agent, *words)


def test_a_server_that_says_nothing_is_given_up_after_the_handshakes_time(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("timeouts: {websocket_handshake: 1s}\n")
    options = ("--config", str(tmp_path / "config.yaml"))

    def wait(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.settimeout(20)
        while connection.recv(1 << 16):
            pass

    with (
        server(wait) as port,
        agent_of(site, tmp_path, f"https://127.0.0.1:{port}", *options) as agent,
    ):
        not_reached(agent, "did not answer in time")


@contextmanager
def agent_of(site: Site, directory: Path, url: str, *extra: str) -> Iterator[Child]:
    arguments = ("--ca-file", str(site.authority.ca_file), *extra)
    child = agent_process(directory, url, site.kubeconfig, *arguments)
    try:
        yield child
    finally:
        child.stop()
        assert "Traceback" not in child.log.read_text(errors="replace")


@contextmanager
def server(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where every connection is handled so, and then closed."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            speak(connection)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            while connection.recv(1 << 16):
                pass

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_server(pair: KeyPair, *, clients: Path | None = None) -> Iterator[int]:
    """A TLS port that closes after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED

    def speak(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as stream:
            stream.recv(1)

    with server(speak) as port:
        yield port
