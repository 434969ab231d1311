"""TLS to Services."""

import ssl

import pytest

from pipeops.agent.services.tls import ServiceTls
from pipeops.http1.tls import TlsConfigError
from tests.support.certificates import Authority


def test_without_a_ca_it_is_encrypted_and_nothing_is_verified() -> None:
    tls = ServiceTls()
    context = tls.context(verify=True)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert not tls.verifies
    assert tls.context(verify=False) is context
    assert tls.context(verify=True, http2=True) is not context


def test_with_a_ca_names_are_checked_unless_the_service_asks_not_to(tmp_path) -> None:
    tls = ServiceTls(str(Authority(tmp_path).ca_file))
    context = tls.context(verify=True)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert tls.context(verify=False).verify_mode is ssl.CERT_NONE


def test_a_ca_that_cannot_be_used_keeps_the_agent_from_starting(tmp_path) -> None:
    bad = tmp_path / "ca.crt"
    bad.write_text("nothing of the kind")
    for path in (bad, tmp_path / "missing"):
        with pytest.raises(TlsConfigError, match=r"ca\.crt|missing"):
            ServiceTls(str(path))
