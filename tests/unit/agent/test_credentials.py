"""Files are read again for each dial; one that went bad leaves the last good content in place."""

import datetime as dt
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pipeops.agent.credentials import DialCredentials, TlsFiles
from pipeops.http1.tls import TlsConfigError
from pipeops.runtime.secrets import Secret
from tests.support.certificates import Authority, KeyPair
from tests.support.clock import FakeClock


def now() -> FakeClock:
    return FakeClock(wall=dt.datetime.now(dt.UTC).timestamp())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


@pytest.fixture
def pair(authority: Authority) -> KeyPair:
    return authority.client("agent", "agent")


def of(authority: Authority, pair: KeyPair) -> TlsFiles:
    return TlsFiles(str(authority.ca_file), str(pair.certificate), str(pair.key))


def test_a_token_file_is_read_at_each_dial(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    credentials = DialCredentials(Secret("first"), str(file), tls=None, clock=now())
    assert credentials.token() == "first"
    file.write_text("second\n")
    assert credentials.token() == "second"
    assert credentials.ssl_context() is None


def test_a_token_file_that_went_away_leaves_its_token_and_one_warning(tmp_path: Path) -> None:
    credentials = DialCredentials(Secret("first"), str(tmp_path / "gone"), tls=None, clock=now())
    with capture_logs() as records:
        assert [credentials.token() for _ in range(3)] == ["first"] * 3
    (record,) = records
    assert "gone" in record["error"]


def test_a_token_that_came_from_no_file_stays(tmp_path: Path) -> None:
    credentials = DialCredentials(Secret("given"), tls=None, clock=now())
    assert credentials.token() == "given"


def test_a_context_is_made_anew_when_a_file_has_changed(
    authority: Authority, pair: KeyPair
) -> None:
    credentials = DialCredentials(Secret("t"), tls=of(authority, pair), clock=now())
    context = credentials.ssl_context()
    assert context is not None
    assert credentials.ssl_context() is context
    authority.client("agent", "agent renewed")  # the same files
    renewed = credentials.ssl_context()
    assert renewed is not context
    pair.certificate.write_text("half a rota")
    with capture_logs() as records:
        assert credentials.ssl_context() is renewed
    assert str(pair.certificate) in records[0]["error"]


def test_an_expired_certificate_stops_the_start_and_names_its_file(
    authority: Authority, pair: KeyPair
) -> None:
    later = FakeClock(wall=(dt.datetime.now(dt.UTC) + dt.timedelta(days=3)).timestamp())
    with pytest.raises(TlsConfigError, match=r"agent\.crt.*expired on"):
        DialCredentials(Secret("t"), tls=of(authority, pair), clock=later)


def test_without_files_the_systems_roots_are_trusted() -> None:
    context = DialCredentials(Secret("t"), tls=TlsFiles(), clock=now()).ssl_context()
    assert context is not None
    assert context.check_hostname
