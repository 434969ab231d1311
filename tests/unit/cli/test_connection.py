"""Trust, and failures in words."""

import ssl

import httpx
import pytest

from pipeops.cli.connection import explain, is_loopback, open_client, trust
from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.profile import Profile
from pipeops.runtime.secrets import Secret


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def profile(server="https://control.test", token="t"):
    return Profile(server, Secret(token) if token else None, None, "--server")


def raised_from(cause):
    error = httpx.ConnectError("all attempts failed")
    error.__cause__ = OSError("wrapped")
    error.__cause__.__context__ = cause
    return error


def verification(message):
    error = ssl.SSLCertVerificationError()
    error.verify_message = message
    return error


def not_tls():
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


@pytest.mark.parametrize(
    ("error", "says", "hint"),
    [
        (raised_from(ConnectionRefusedError()), "nothing listens", "pipeops up"),
        (
            raised_from(verification("self-signed certificate")),
            "not trusted: self-signed",
            "--ca-file",
        ),
        (raised_from(not_tls()), "does not speak TLS", "http://"),
        (httpx.ConnectError("[Errno -2] Name or service not known"), "host name", "address"),
        (httpx.ConnectTimeout("slow"), "in time", "network"),
        (httpx.RemoteProtocolError("gone"), "closed the connection", "--server"),
        (httpx.ReadError("reset"), "cannot be reached: reset", "--server"),
    ],
)
def test_each_failure_says_what_and_what_to_do(error, says, hint):
    told = explain(error, profile())
    assert says in str(told)
    assert hint in told.hint
    assert told.code is ExitCode.UNREACHABLE


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (httpx.ProxyError("407 Proxy Authentication Required"), "did not open a tunnel: 407"),
        (raised_from(ConnectionRefusedError()), "cannot be reached: all attempts failed"),
    ],
)
def test_a_proxy_that_fails_is_named_without_its_password(monkeypatch, error, says):
    monkeypatch.setenv("HTTPS_PROXY", "http://u:secret@p:1")
    told = explain(error, profile())
    assert f"the proxy http://p:1 {says}" in str(told)
    assert "HTTPS_PROXY" in told.hint
    assert "secret" not in str(told) + told.hint


def test_behind_a_proxy_the_control_planes_own_failures_stay_its_own(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    assert "not trusted" in str(explain(raised_from(verification("x")), profile()))
    monkeypatch.setenv("NO_PROXY", "control.test")
    assert "nothing listens" in str(explain(raised_from(ConnectionRefusedError()), profile()))


def test_a_proxy_that_is_none_is_refused_with_the_variables_name(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "ftp://u:secret@p:1")
    with pytest.raises(CliError, match="HTTPS_PROXY is not the URL") as caught:
        open_client(profile())
    assert caught.value.code is ExitCode.USAGE


def test_cleartext_server_that_hangs_up_may_want_tls():
    told = explain(httpx.RemoteProtocolError("gone"), profile("http://127.0.0.1:1"))
    assert "https://" in str(told)


def test_causes_inside_groups_and_loops_are_found():
    error = httpx.ConnectError("x")
    error.__cause__ = ExceptionGroup("g", [OSError(), ConnectionRefusedError()])
    error.__context__ = error
    assert "nothing listens" in str(explain(error, profile()))


def test_a_token_is_never_sent_in_clear_over_a_network():
    with pytest.raises(CliError, match="not encrypted"):
        open_client(profile("http://control.test"))
    for fine in (
        profile("http://127.0.0.1:80"),
        profile("http://[::1]:80"),
        profile("http://x", None),
    ):
        open_client(fine).close()


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.evil", False),
    ],
)
def test_loopback_is_recognised(host, local):
    assert is_loopback(host) is local


def test_ca_files_must_hold_certificates(tmp_path):
    with pytest.raises(CliError, match="No such file"):
        trust(tmp_path / "absent")
    (tmp_path / "empty").write_text("hello")
    with pytest.raises(CliError, match="no certificate"):
        trust(tmp_path / "empty")
    assert trust(None).verify_mode is ssl.CERT_REQUIRED
