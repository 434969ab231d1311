"""nginx as a Service: TLS and HTTP/2 as a server of the world speaks them, connections that it ages out included."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeops.agent.targets import ServiceTarget
from pipeops.protocol.exchange.native import Framing
from tests.support.certificates import Authority
from tests.support.middleboxes import program
from tests.support.processes import Child, free_port, port_open, wait_until
from tests.support.service_tunnel import Cluster, Objects, cluster

_CONFIGURATION = """
daemon off; master_process off; worker_processes 1;
pid {directory}/nginx.pid; error_log {directory}/nginx.err;
events {{ worker_connections 256; }}
http {{
  access_log {directory}/access.log combined;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  keepalive_requests 7; client_max_body_size 0;
  server {{
    listen 127.0.0.1:{tls} ssl http2;
    listen 127.0.0.1:{h2c} http2;
    ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key};
    location /say {{ return 200 "$server_protocol $ssl_server_name $host"; }}
    location /large {{ root {directory}; }}
  }}
}}
"""
_LARGE = bytes(range(256)) * 40_000


class Nginx:
    """One process with a TLS port that also speaks HTTP/2, and a cleartext one that speaks nothing else."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "pki")
        self.tls, self.h2c = free_port(), free_port()
        self.access_log = directory / "access.log"
        (directory / "large").write_bytes(_LARGE)
        configuration = directory / "nginx.conf"
        pair = self.authority.server("web", "web.shop.svc")
        configuration.write_text(
            _CONFIGURATION.format(directory=directory, tls=self.tls, h2c=self.h2c, pair=pair)
        )
        log = directory / "nginx.err"
        self.process = Child(
            "nginx", [program("nginx"), "-e", log, "-c", configuration], log=directory / "out"
        )
        wait_until(lambda: port_open(self.tls), "nginx", timeout=30, children=[self.process])


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    running = Nginx(tmp_path_factory.mktemp("nginx"))
    yield running
    running.process.stop()


def get(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nhost: shop.example\r\n\r\n"


WEB = ServiceTarget("web", "shop", 443)


def objects(port: int, protocol: str) -> Objects:
    found = Objects()
    found.put(WEB, "127.0.0.1", port=port, protocol=protocol)
    return found


async def say(made: Cluster) -> bytes:
    call = await made.tunnel.ask("web.shop:443", get(b"/say"))
    assert (call.status, call.finished) == (200, True)
    return call.body


async def test_tls_names_the_service_and_believes_the_operators_ca(nginx: Nginx) -> None:
    found = objects(nginx.tls, "https")
    async with cluster(WEB, objects=found, ca_file=str(nginx.authority.ca_file)) as made:
        assert await say(made) == b"HTTP/1.1 web.shop.svc shop.example"


@pytest.mark.parametrize(("kind", "name"), [("grpcs", b"web.shop.svc"), ("kubernetes.io/h2c", b"")])
async def test_http2_with_and_without_tls(nginx: Nginx, kind: str, name: bytes) -> None:
    found = objects(nginx.tls if name else nginx.h2c, kind)
    async with cluster(WEB, objects=found, ca_file=str(nginx.authority.ca_file)) as made:
        assert await say(made) == b"HTTP/2.0 %b shop.example" % name


@pytest.mark.parametrize("kind", ["https", "kubernetes.io/h2c"])
async def test_connections_that_are_aged_out_cost_no_request(nginx: Nginx, kind: str) -> None:
    """nginx ends each after seven requests: HTTP/1.1 by `Connection: close`, HTTP/2 by GOAWAY while others run."""
    found = objects(nginx.tls if kind == "https" else nginx.h2c, kind)
    async with cluster(WEB, objects=found) as made:
        for _ in range(10):
            await asyncio.gather(*[say(made) for _ in range(10)])


@pytest.mark.parametrize("kind", ["https", "kubernetes.io/h2c"])
async def test_ten_megabytes_arrive_whole(nginx: Nginx, kind: str) -> None:
    found = objects(nginx.tls if kind == "https" else nginx.h2c, kind)
    async with cluster(WEB, objects=found) as made:
        call = await made.tunnel.ask("web.shop:443", get(b"/large"))
        assert (call.preface.framing, call.finished) == (Framing.LENGTH, True)
        assert call.body == _LARGE
