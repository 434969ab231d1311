"""Under which names the control plane may be known."""

from dataclasses import replace
from pathlib import Path

from pipeops.control.public_settings import PublicSettings
from pipeops.control.routes.own_hosts import own_hosts
from pipeops.control.settings import ControlSettings
from tests.support.certificates import Authority

SETTINGS = ControlSettings(data_dir=Path("/data"), database_url="", listen_host="0.0.0.0")


def test_it_is_known_by_its_address_its_urls_and_what_an_operator_says():
    assert own_hosts(SETTINGS) == frozenset()
    made = replace(
        SETTINGS,
        listen_host="2001:db8::1",
        gateway_url="wss://Agents.Example.com:8443/ws",
        public=PublicSettings(reserved_hosts=("*.ops.example.com",)),
    )
    assert own_hosts(made) == {"[2001:db8::1]", "agents.example.com", "*.ops.example.com"}


def test_it_is_known_by_its_certificate(tmp_path):
    pair = Authority(tmp_path).server("own", "Control.example.com", "*.example.org", "10.1.2.3")
    made = replace(SETTINGS, tls_cert=pair.certificate)
    assert own_hosts(made) == {"control.example.com", "*.example.org", "10.1.2.3"}


def test_a_certificate_that_cannot_be_read_names_nobody(tmp_path):
    assert own_hosts(replace(SETTINGS, tls_cert=tmp_path / "none")) == frozenset()
    (tmp_path / "bad").write_text("nothing")
    assert own_hosts(replace(SETTINGS, tls_cert=tmp_path / "bad")) == frozenset()
