import time

import pytest

from pipeops.kube.credentials import (
    FileCredentials,
    StaticCredentials,
    basic,
    bearer,
    read_token,
)
from pipeops.kube.errors import CredentialError
from pipeops.runtime.secrets import Secret
from tests.support.certificates import Authority
from tests.support.clock import FakeClock


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("one\n")
    return path


async def test_static_never_changes():
    source = StaticCredentials(b"Bearer x")
    source.invalidate()
    await source.refresh()
    assert source.authorization() == b"Bearer x"
    assert source.certificate() is None
    assert not source.needs_refresh(1e9)
    assert source.generation == 0


async def test_rotated_token_is_read_within_a_minute(token_file):
    clock = FakeClock()
    source = FileCredentials(clock, token_file=str(token_file))
    first = source.generation
    assert source.authorization() == b"Bearer one"
    token_file.write_text("two")
    clock.advance(59)
    assert not source.needs_refresh(clock.monotonic())
    clock.advance(1)
    assert source.needs_refresh(clock.monotonic())
    await source.refresh()
    assert source.authorization() == b"Bearer two"
    assert source.generation == first + 1
    assert not source.needs_refresh(clock.monotonic())


async def test_a_rotated_ca_is_a_new_generation_and_a_missing_one_is_none(token_file, tmp_path):
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text("-----BEGIN CERTIFICATE-----\none")
    source = FileCredentials(FakeClock(), token_file=str(token_file), ca_file=str(ca_file))
    first = source.generation
    await source.refresh()
    assert source.generation == first
    ca_file.write_text("-----BEGIN CERTIFICATE-----\ntwo")
    await source.refresh()
    assert source.generation == first + 1
    ca_file.unlink()
    await source.refresh()
    assert source.generation == first + 1


async def test_a_refusal_reads_once_and_the_same_token_is_no_change(token_file):
    clock = FakeClock()
    source = FileCredentials(clock, token_file=str(token_file))
    first = source.generation
    source.invalidate()
    assert source.needs_refresh(clock.monotonic())
    await source.refresh()
    assert not source.needs_refresh(clock.monotonic())
    assert source.generation == first


async def test_a_vanished_file_keeps_the_old_token(token_file):
    source = FileCredentials(FakeClock(), token_file=str(token_file))
    token_file.unlink()
    with pytest.raises(CredentialError, match="No such file"):
        await source.refresh()
    assert source.authorization() == b"Bearer one"


async def test_rotated_certificate_is_a_new_generation(tmp_path):
    authority = Authority(tmp_path)
    pair = authority.client("me", "me")
    clock = FakeClock(wall=time.time())
    source = FileCredentials(clock, cert_file=str(pair.certificate), key_file=str(pair.key))
    first, before = source.generation, source.certificate()
    await source.refresh()
    assert source.generation == first
    pair.key.unlink()
    authority.client("me", "me")
    await source.refresh()
    assert source.generation == first + 1
    assert source.certificate() != before
    clock.advance(3 * 86_400)
    with pytest.raises(CredentialError, match="expired"):
        await source.refresh()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b" \n", "empty"), (b"\xff", "not text"), (b"x" * 70_000, "larger")],
)
def test_unusable_token_files_are_named(tmp_path, content, reason):
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(CredentialError, match=reason) as caught:
        read_token(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("token", ["a b", "a\r\nX: y", "é", "a\tb"])
def test_a_token_cannot_smuggle_a_header(token):
    with pytest.raises(CredentialError):
        bearer(Secret(token))


def test_basic():
    assert basic("user", Secret("pässword")) == b"Basic dXNlcjpww6Rzc3dvcmQ="
