"""Making and recognising tokens."""

import pytest

from pipeops.control.auth.tokens import TokenKind, digest, kind_of, new_token, shown_prefix


@pytest.mark.parametrize("kind", TokenKind)
def test_new_tokens_are_well_formed_and_different(kind):
    tokens = {new_token(kind) for _ in range(50)}
    assert len(tokens) == 50
    assert {kind_of(token.encode()) for token in tokens} == {kind}
    assert {len(token) for token in tokens} == {53}


@pytest.mark.parametrize(
    "bad",
    [b"", b"pipeops_u_", b"pipeops_x_" + b"a" * 43, b"pipeops_u_" + b"a" * 44, b"pipeops_u_" + b"a" * 43 + b"\n",
     b"pipeops_u_" + "é".encode() * 21 + b"a", b"Pipeops_u_" + b"a" * 43],
)  # fmt: skip
def test_anything_else_is_no_token(bad):
    assert kind_of(bad) is None


def test_shown_part_reveals_four_random_characters():
    token = new_token(TokenKind.USER)
    assert token.startswith(shown_prefix(token))
    assert len(shown_prefix(token)) == len(TokenKind.USER.value) + 4


def test_digest_is_sha256():
    assert digest(b"abc").hex().startswith("ba7816bf8f01cfea")
