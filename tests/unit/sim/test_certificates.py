import ssl

from cryptography import x509

from pipeops.sim.certificates import Authority
from tests.unit.sim.conftest import START


def test_an_authority_signs_a_serving_certificate_for_names_and_addresses() -> None:
    authority = Authority.create(START)
    context = authority.serving_context(["localhost", "127.0.0.1", "::1"], START)
    assert isinstance(context, ssl.SSLContext)
    certificate = x509.load_pem_x509_certificate(authority.certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.value.ca
    assert certificate.not_valid_before_utc.timestamp() < START


def test_its_key_is_not_in_its_representation() -> None:
    authority = Authority.create(START)
    assert authority.key.decode().splitlines()[1] not in repr(authority)
