"""Who is asked to serve, for the tests of the PipeOps dialect's handlers."""

import base64
import json
from typing import Any

from pipeops.control.edge.pipeops_kube import PipeOpsKube
from pipeops.protocol.exchange.principal import Principal
from pipeops.runtime.tasks import TaskScope
from tests.support.turns import turns
from tests.unit.control.edge.fakes import NOW, FakeClient, FakeLink, answer, grant, lane, request
from tests.unit.control.edge.l4.test_lane import Session
from tests.unit.control.edge.l4.tls_server import Certificates, TlsServer

GET = b"GET /k8s/e/api/v1/pods HTTP/1.1\r\n"
EXEC = b"GET /k8s/e/api/v1/x/exec HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"


class Bench:
    def __init__(self, scope: TaskScope, *, session: bool, credential: str | None = "sa") -> None:
        self.now = 100.0
        self.link = FakeLink()
        self.link.session = Session() if session else None
        self.lane = lane(self.link, credential=credential)
        self.kube = PipeOpsKube(
            scope,
            now=lambda: self.now,
            wall=lambda: NOW,
            call_later=lambda *_: _Timer(),  # type: ignore[arg-type,return-value]
        )

    def ask(self, raw: bytes = GET, principal: Principal | None = None) -> tuple[Any, FakeClient]:
        client = FakeClient()
        given = grant(principal) if principal else grant()
        found = request(raw)
        path = found.target[6:]
        return self.kube.open(found, client, self.lane.instance, path, given), client

    async def fetched_ca(self, certificates: Certificates) -> None:
        """Answer the request for the CA."""
        await turns(2)
        sent = next(
            message
            for message in self.link.take()
            if message["payload"].get("path", "").endswith("/kube-root-ca.crt")
        )
        body = json.dumps({"kind": "ConfigMap", "data": {"ca.crt": certificates.ca.decode()}})
        payload = {"status": 200, "body": base64.b64encode(body.encode()).decode()}
        self.lane.answers.on_answer(answer("proxy_response", payload, sent["request_id"]))
        await turns(3)

    async def proved(self, certificates: Certificates) -> TlsServer:
        """Make raw streams work."""
        await self.fetched_ca(certificates)
        server = TlsServer(certificates.server, self.link.session.streams[-1])
        server.turn()
        await turns(3)
        return server


class _Timer:
    def cancel(self) -> None:
        pass
