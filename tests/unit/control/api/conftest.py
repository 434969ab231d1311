"""The API on a real store, called in process."""

import httpx
import pytest

from pipeops.control.api.app import create_app
from pipeops.control.api.services import ApiServices, ClusterConnection
from pipeops.control.auth.authenticator import Authenticator, ClusterAuthenticator
from pipeops.control.auth.tokens import TokenKind, digest, new_token, shown_prefix
from pipeops.control.store.records import Role


class Sessions:
    def __init__(self):
        self.connections = {}
        self.disconnected = []

    def status(self, cluster_id):
        return self.connections.get(cluster_id, ClusterConnection())

    def disconnect(self, cluster_id, reason):
        self.disconnected.append((cluster_id, reason))
        return 1


@pytest.fixture
def reports():
    return []


@pytest.fixture
def services(store, wall, ticks, reports):
    return ApiServices(
        store=store,
        authenticator=Authenticator(store.user_tokens, wall=wall, monotonic=ticks),
        cluster_authenticator=ClusterAuthenticator(
            store.cluster_tokens, wall=wall, monotonic=ticks
        ),
        sessions=Sessions(),
        wall=wall,
        version="1.2.3",
        report=lambda request_id, error: reports.append((request_id, error)),
    )


@pytest.fixture
def app(services):
    return create_app(services)


@pytest.fixture
def issue(store):
    async def issue(role=Role.USER, clusters=None, user="ada"):
        token = new_token(TokenKind.USER)
        await store.user_tokens.add(
            label=f"of {user}", token_hash=digest(token.encode()), prefix=shown_prefix(token),
            user=user, groups=["dev"], role=role, clusters=clusters,
        )  # fmt: skip
        return token

    return issue


@pytest.fixture
async def connect(app):
    clients = []

    def connect(token=None, **headers):
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://api.test",
            headers=headers,
        )
        clients.append(client)
        return client

    yield connect
    for client in clients:
        await client.aclose()


@pytest.fixture
async def admin(connect, issue):
    return connect(await issue(Role.ADMIN, user="root"))


@pytest.fixture
async def user(connect, issue):
    return connect(await issue())


@pytest.fixture
def anonymous(connect):
    return connect()
