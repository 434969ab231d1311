"""Headers of users as JSON: made once for a block and a user, gone with the credential."""

import json

import pytest

from pipeops.control.edge.pipeops_dialect import rendered as module
from pipeops.control.edge.pipeops_dialect.rendered import RenderedHeaders
from pipeops.http1.head import HeaderBlock
from pipeops.protocol.exchange.principal import Principal
from pipeops.runtime.secrets import Secret
from tests.unit.control.edge.fakes import ADA, grant, request

TOKEN = Secret("one")


def block(lines: bytes) -> HeaderBlock:
    return request(b"GET /x HTTP/1.1\r\n" + lines).block


def test_users_blocks_and_credentials_are_told_apart() -> None:
    headers = RenderedHeaders()
    first, second = block(b"Accept: a\r\n"), block(b"Accept: <b>\r\n")
    for user in (ADA, Principal("eve"), ADA):
        for credential in (TOKEN, Secret("two"), TOKEN):
            for lines, accept in ((first, "a"), (second, "<b>"), (first, "a")):
                data = headers.render(lines, grant(user), credential, b"0a")
                assert b"<" not in data
                told = json.loads(data)
                assert told["Accept"] == [accept]
                assert told["Impersonate-User"] == [user.user]
                assert told["Authorization"] == [f"Bearer {credential.reveal()}"]
                assert told["Audit-Id"] == ["0a"]


def test_a_new_credential_makes_it_forget_the_old_one() -> None:
    headers = RenderedHeaders()
    headers.render(block(b""), grant(), TOKEN, b"0a")
    headers.render(block(b"A: b\r\n"), grant(), Secret("two"), b"0a")
    assert b"one" not in b"".join(headers._kept.values())


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    headers = RenderedHeaders()
    for number in range(4):
        headers.render(block(b"A: %d\r\n" % number), grant(), TOKEN, b"0a")
    assert len(headers._kept) == 2
    large = block(b"A: " + b"x" * module.MAX_KEPT_BYTES + b"\r\n")
    assert json.loads(headers.render(large, grant(), TOKEN, b"0a"))["Audit-Id"] == ["0a"]
    assert len(headers._kept) == 2
