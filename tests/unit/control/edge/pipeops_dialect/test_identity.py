"""Strip, then set (threats.md S-08, S-09)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.control.edge.pipeops_dialect.identity import (
    UserRefused,
    check_principal,
    identity_headers,
    request_headers,
)
from pipeops.protocol.exchange.principal import Principal
from pipeops.runtime.secrets import Secret
from tests.unit.control.edge.fakes import ADA, request

TOKEN = Secret("sa")
OURS = [
    (b"Authorization", b"Bearer sa"),
    (b"Impersonate-User", b"ada"),
    (b"Impersonate-Group", b"pipeops:admins"),
    (b"Impersonate-Extra-scopes", b"x"),
]


def headers(lines: bytes) -> list[tuple[bytes, bytes]]:
    block = request(b"GET /k8s/e/api HTTP/1.1\r\n" + lines).block
    return request_headers(block, ADA, TOKEN)


def test_our_headers_follow_what_may_cross() -> None:
    assert headers(b"Accept: a\r\nUser-Agent: k\r\n") == [
        (b"accept", b"a"),
        (b"user-agent", b"k"),
        *OURS,
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer mine",
        b"X-Forwarded-Host: evil",
        b"X-Forwarded-For: 1.2.3.4",
        b"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.x",
        b"Sec-WebSocket-Key: x",
        b"Te: trailers",
        b"Proxy-Authorization: x",
        b"Cookie: a=b",
        b"X-Remote-User: root",
        b"Impersonate_User: root",
        b"Audit-Id: mine",
        b"Connection: Impersonate-User, Authorization",
    ],
)
def test_nothing_of_the_clients_identity_crosses(line: bytes) -> None:
    assert headers(line + b"\r\n") == OURS


@given(
    st.lists(st.sampled_from(["impersonate-", "IMPERSONATE_", "Impersonate-Extra-"]), max_size=3),
    st.text("abcXYZ-_0", min_size=1, max_size=8),
)
def test_no_spelling_of_impersonation_crosses(prefixes: list[str], rest: str) -> None:
    lines = b"".join(f"{prefix}{rest}: root\r\n".encode() for prefix in prefixes)
    assert headers(lines) == OURS


def test_the_implied_group_is_not_named() -> None:
    principal = Principal("ada", ("system:authenticated", "dev"))
    assert identity_headers(principal, TOKEN)[2:] == [(b"Impersonate-Group", b"dev")]


def test_extra_keys_are_percent_encoded() -> None:
    principal = Principal("ada", (), (("example.com/team", "x"),))
    assert identity_headers(principal, TOKEN)[-1][0] == b"Impersonate-Extra-example.com%2Fteam"


@pytest.mark.parametrize(
    "principal",
    [
        Principal("system:admin"),
        Principal("System:Admin"),
        Principal("ada", ("system:masters",)),
        Principal(""),
        Principal("a\r\nb"),
        Principal(" ada"),
        Principal("x" * 1025),
        Principal("ada", tuple(f"g{number}" for number in range(257))),
        Principal("ada", (), (("bad key", "x"),)),
        Principal("ada", (), (("k", ""),)),
    ],
)
def test_whom_our_own_agent_refuses_is_refused(principal: Principal) -> None:
    with pytest.raises(UserRefused):
        check_principal(principal)


def test_people_pass() -> None:
    check_principal(ADA)
    check_principal(Principal("ada", ("system:authenticated",)))
