"""The throw-away authority issues what Kubernetes and Python's strict checks accept."""

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.support.certificates import Authority, write_kubeconfig


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_users_and_groups_are_common_name_and_organisations(authority: Authority) -> None:
    certificate = load(authority.client("c", "ada", "g1", "g2").certificate)
    subject = certificate.subject
    assert [each.value for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["ada"]
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert sorted(str(each.value) for each in groups) == ["g1", "g2"]
    certificate.verify_directly_issued_by(load(authority.ca_file))


def test_servers_carry_names_and_addresses(authority: Authority) -> None:
    certificate = load(authority.server("s", "localhost", "127.0.0.1").certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_keys_and_kubeconfigs_are_private(authority: Authority, tmp_path: Path) -> None:
    pair = authority.client("c", "ada")
    path = write_kubeconfig(
        tmp_path / "kubeconfig",
        server="https://127.0.0.1:1",
        ca_file=authority.ca_file,
        token="t0ken",
    )
    for each in (pair.key, path):
        assert each.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["users"] == [{"name": "test", "user": {"token": "t0ken"}}]
