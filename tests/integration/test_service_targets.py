"""Where requests to Services end up: endpoints, failover, TLS, and every way round the rule that an attacker may try."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pipeops.agent.proxy.pool import PoolLimits
from pipeops.agent.targets import Endpoint, ServiceTarget
from pipeops.kube.errors import Forbidden, KubeUnreachable
from tests.support.certificates import Authority
from tests.support.service_tunnel import Objects, cluster, server

GET = b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n"
WEB = ServiceTarget("web", "shop", 80)


class Backend:
    """Says who it is; counts connections."""

    def __init__(self, name: str = "app") -> None:
        self.name = name
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                body = self.name.encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def forbidden() -> Forbidden:
    return Forbidden(403, "Forbidden", "may not", retry_after=None)


async def test_a_service_is_its_ready_endpoints_at_their_own_port() -> None:
    app = Backend()
    async with server(app) as port:
        objects = Objects()
        objects.put(WEB, "127.0.0.1", port=port)
        async with cluster(WEB, objects=objects, addresses={"web.shop": []}) as made:
            assert (await made.tunnel.ask("web.shop:80", GET)).body == b"app"


async def test_objects_are_read_once_for_many_requests() -> None:
    app = Backend()
    async with server(app) as port:
        objects = Objects()
        objects.put(WEB, "127.0.0.1", port=port)
        async with cluster(WEB, objects=objects) as made:
            calls = [made.tunnel.ask("web.shop:80", GET) for _ in range(20)]
            assert {call.body for call in await asyncio.gather(*calls)} == {b"app"}
            await made.tunnel.ask("web.shop:80", GET)
    assert sum("/shop/" in path for path in objects.asked) == 2


async def test_endpoints_share_the_load() -> None:
    apps = [Backend(str(number)) for number in (1, 2)]
    async with server(apps[0], "127.0.0.1") as port, server(apps[1], "127.0.0.2", port):
        objects = Objects()
        objects.put(WEB, "127.0.0.1", "127.0.0.2", port=port)
        async with cluster(WEB, objects=objects) as made:
            bodies = [(await made.tunnel.ask("web.shop:80", GET)).body for _ in range(10)]
    assert sorted(bodies) == [b"1"] * 5 + [b"2"] * 5


async def test_a_dead_endpoint_is_passed_over_and_then_asked_last() -> None:
    app = Backend()
    async with server(app, "127.0.0.2") as port:
        objects = Objects()
        objects.put(WEB, "127.0.0.1", "127.0.0.2", port=port)
        async with cluster(WEB, objects=objects) as made:
            for _ in range(6):
                head = b"POST / HTTP/1.1\r\nhost: s\r\n\r\n"
                assert (await made.tunnel.ask("web.shop:80", head)).body == b"app"
    assert app.connections == 1


async def test_tries_are_bounded() -> None:
    dead = [f"127.0.0.{number}" for number in range(2, 12)]
    app = Backend()
    async with server(app, "127.0.0.1") as port:
        objects = Objects()
        objects.put(WEB, *dead, port=port)
        async with cluster(WEB, objects=objects) as made:
            call = await made.tunnel.ask("web.shop:80", GET)
            assert (call.status, call.failure) == (502, "unreachable")
            assert len(made.routes._down) == 3


async def test_an_endpoint_that_does_not_answer_a_connection_is_a_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        jam = [socket.socket() for _ in range(4)]  # nobody accepts: the queue is full
        for each in jam:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        objects = Objects()
        objects.put(WEB, "127.0.0.1", port=port)
        limits = PoolLimits(connect_timeout=0.5)
        async with cluster(WEB, objects=objects, limits=limits) as made:
            call = await made.tunnel.ask("web.shop:80", GET)
        for each in jam:
            each.close()
    assert (call.status, call.failure) == (504, "connect-timeout")


async def test_what_is_missing_is_told_apart_and_found_as_soon_as_it_is_there() -> None:
    app = Backend()
    async with server(app) as port:
        objects = Objects()
        async with cluster(WEB, ServiceTarget("web", "shop", 81), objects=objects) as made:
            assert (await made.tunnel.ask("web.shop:80", GET)).failure == "no-such-service"
            objects.put(WEB, port=port)
            await asyncio.sleep(2.1)
            call = await made.tunnel.ask("web.shop:80", GET)
            assert (call.status, call.failure) == (503, "no-endpoints")
            assert (await made.tunnel.ask("web.shop:81", GET)).failure == "no-such-service"
            objects.put(WEB, "127.0.0.1", port=port, ready=False)
            await asyncio.sleep(2.1)
            assert (await made.tunnel.ask("web.shop:80", GET)).failure == "no-endpoints"
            objects.put(WEB, "127.0.0.1", port=port)
            await asyncio.sleep(2.1)
            assert (await made.tunnel.ask("web.shop:80", GET)).body == b"app"


async def test_a_pod_that_was_replaced_is_found_by_the_request_after_the_first_that_failed() -> (
    None
):
    app = Backend()
    async with server(app, "127.0.0.3") as port:
        objects = Objects()
        objects.put(WEB, "127.0.0.2", port=port)
        async with cluster(WEB, objects=objects) as made:
            assert (await made.tunnel.ask("web.shop:80", GET)).failure == "unreachable"
            objects.put(WEB, "127.0.0.3", port=port)
            assert (await made.tunnel.ask("web.shop:80", GET)).body == b"app"


async def test_without_rights_there_is_the_name_and_the_number() -> None:
    app = Backend()
    async with server(app) as port:
        target = ServiceTarget("web", "shop", port)
        objects = Objects()
        objects.errors["/services/"] = forbidden()
        async with cluster(target, objects=objects) as made:
            assert (await made.tunnel.ask(str(target), GET)).body == b"app"
        objects = Objects()
        objects.put(target)
        objects.errors["endpointslices"] = forbidden()
        async with cluster(target, objects=objects) as made:
            assert (await made.tunnel.ask(str(target), GET)).body == b"app"


async def test_an_api_server_that_is_away_does_not_take_services_with_it() -> None:
    app = Backend()
    async with server(app) as port:
        objects = Objects()
        objects.put(WEB, "127.0.0.1", port=port)
        async with cluster(WEB, objects=objects, addresses={"web.shop": []}) as made:
            assert (await made.tunnel.ask("web.shop:80", GET)).body == b"app"
            objects.errors["/"] = KubeUnreachable("away")
            made.directory.forget(WEB)
            assert (await made.tunnel.ask("web.shop:80", GET)).body == b"app"


# -- ways round the rule -------------------------------------------------------------------


@pytest.mark.parametrize("port", [443, 6443, 80])
async def test_the_kubernetes_api_is_no_service_even_if_something_offers_it(port: int) -> None:
    app = Backend()
    target = ServiceTarget("kubernetes", "default", port)
    async with server(app):
        allow = ("default/kubernetes:*",)
        async with cluster(target, allow=allow) as made:
            call = await made.tunnel.ask(str(target), GET)
    assert (call.status, call.failure, app.connections) == (403, "refused", 0)


@asynccontextmanager
async def api_server() -> AsyncIterator[tuple[Backend, int]]:
    """Stands for the API server: nobody may connect to it."""
    app = Backend()
    async with server(app) as port:
        yield app, port
    assert app.connections == 0


def with_api(objects: Objects, port: int) -> Objects:
    objects.put(
        ServiceTarget("kubernetes", "default", 443),
        "127.0.0.1",
        port=port,
        name="https",
        spec={"selector": None, "clusterIPs": ["127.0.0.50"]},
    )
    return objects


async def test_s05_no_other_service_leads_to_the_api_servers_endpoints() -> None:
    async with api_server() as (_, port):
        objects = with_api(Objects(), port)
        objects.put(WEB, "127.0.0.1", port=port)
        async with cluster(WEB, objects=objects) as made:
            call = await made.tunnel.ask("web.shop:80", GET)
            assert call.failure == "refused"
            assert b"leads to the Kubernetes API" in call.body


async def test_s05_no_other_name_leads_to_the_api_servers_address() -> None:
    async with api_server() as (_, port):
        known = {"kubernetes.default": ["127.0.0.1"], "web.shop": ["127.0.0.1"]}
        target = ServiceTarget("web", "shop", port)
        async with cluster(target, addresses=known) as made:
            assert (await made.tunnel.ask(str(target), GET)).failure == "refused"
        async with cluster(target, kube_api=Endpoint("127.0.0.1", port)) as made:
            assert (await made.tunnel.ask(str(target), GET)).failure == "refused"
        mapped = {"web.shop": ["::ffff:127.0.0.1"]}
        async with cluster(target, addresses=mapped, kube_api=Endpoint("127.0.0.1", port)) as made:
            assert (await made.tunnel.ask(str(target), GET)).failure == "refused"


async def test_s05_one_wrong_endpoint_among_good_ones_refuses_the_service() -> None:
    app = Backend()
    async with server(app) as port:
        for wrong in ("169.254.169.254", "10.0.0.1", "fd00:ec2::254", "metadata.google.internal"):
            objects = Objects()
            objects.put(WEB, "127.0.0.1", wrong, port=port)
            async with cluster(WEB, objects=objects) as made:
                assert (await made.tunnel.ask("web.shop:80", GET)).failure == "refused"
    assert app.connections == 0


async def test_s05_a_service_without_selector_leads_nowhere_unless_the_operator_means_it() -> None:
    app = Backend()
    async with server(app) as port:
        objects = Objects()
        objects.put(WEB, "127.0.0.1", port=port, spec={"selector": None})
        async with cluster(WEB, objects=objects, allow=("*/web:80",)) as made:
            call = await made.tunnel.ask("web.shop:80", GET)
            assert (call.failure, b"no selector" in call.body) == ("refused", True)
        async with cluster(objects=objects, allow=("shop/web:80",)) as made:
            assert (await made.tunnel.ask("web.shop:80", GET)).body == b"app"
        objects.errors["endpointslices"] = forbidden()
        async with cluster(objects=objects, allow=("shop/web:80",)) as made:
            assert (await made.tunnel.ask("web.shop:80", GET)).failure == "refused"


async def test_s05_an_external_name_is_refused_whoever_wants_it() -> None:
    objects = Objects()
    objects.put(WEB, "127.0.0.1", spec={"type": "ExternalName", "externalName": "evil.example"})
    async with cluster(WEB, objects=objects, allow=("shop/web:80",)) as made:
        call = await made.tunnel.ask("web.shop:80", GET)
    assert (call.status, call.failure) == (403, "refused")


async def test_s02_s04_a_redirect_is_the_clients_business() -> None:
    async def moved(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
        )

    async with server(moved) as port:
        target = ServiceTarget("web", "shop", port)
        async with cluster(target) as made:
            call = await made.tunnel.ask(str(target), GET)
    assert call.status == 302
    assert b"Location: http://169.254.169.254/" in call.head


async def test_an_application_cannot_pass_off_an_answer_as_the_agents() -> None:
    async def liar(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 403 Forbidden\r\nX-Pipeops-Failure: refused\r\nContent-Length: 0\r\n\r\n"
        )

    async with server(liar) as port:
        target = ServiceTarget("web", "shop", port)
        async with cluster(target) as made:
            call = await made.tunnel.ask(str(target), GET)
    assert (call.status, call.preface.own, call.failure) == (403, False, "")


# -- TLS -----------------------------------------------------------------------------------


@asynccontextmanager
async def tls_server(authority: Authority, *names: str) -> AsyncIterator[int]:
    pair = authority.server("web", *names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    async with server(Backend("tls"), tls=context) as port:
        yield port


async def test_tls_is_spoken_where_the_port_says_so_and_verified_where_there_is_a_ca(
    tmp_path: Path,
) -> None:
    authority, other = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    async with tls_server(authority, "web.shop.svc") as port:
        objects = Objects()
        objects.put(WEB, "127.0.0.1", port=port, protocol="https")
        for ca, expected in (
            ("", b"tls"),
            (str(authority.ca_file), b"tls"),
        ):
            async with cluster(WEB, objects=objects, ca_file=ca) as made:
                assert (await made.tunnel.ask("web.shop:80", GET)).body == expected
        async with cluster(WEB, objects=objects, ca_file=str(other.ca_file)) as made:
            call = await made.tunnel.ask("web.shop:80", GET)
            assert (call.status, call.failure) == (502, "unreachable")
            assert b"TLS with the service web.shop:80" in call.body
        objects.put(
            WEB, "127.0.0.1", port=port, protocol="https", annotations={"pipeops.io/verify-tls": "false"}
        )  # fmt: skip
        async with cluster(WEB, objects=objects, ca_file=str(other.ca_file)) as made:
            assert (await made.tunnel.ask("web.shop:80", GET)).body == b"tls"


async def test_a_certificate_for_another_service_is_not_this_services(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with tls_server(authority, "other.shop.svc", "127.0.0.1") as port:
        objects = Objects()
        objects.put(WEB, "127.0.0.1", port=port, name="https")
        async with cluster(WEB, objects=objects, ca_file=str(authority.ca_file)) as made:
            assert (await made.tunnel.ask("web.shop:80", GET)).failure == "unreachable"
