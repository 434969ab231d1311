"""own_hosts: the names under which this control plane itself may be known; no tenant's catch-all answers them."""

from urllib.parse import urlsplit

from cryptography import x509

from pipeops.control.routes.host import normal_host
from pipeops.control.settings import ControlSettings

_ANY_ADDRESS = frozenset(("0.0.0.0", "::", ""))  # noqa: S104 - compared with, not bound


def own_hosts(settings: ControlSettings) -> frozenset[str]:
    """Return normal hosts and wildcards: of the gateway's URL, the listener's address and certificate, and what an operator reserved.

    A browser sends a host's cookies to every port of it, so that a page of a tenant must not live beside the dashboard.
    The certificate is read once, at the start; one that cannot be read names nobody here, and the listener complains.
    """
    names = {*settings.public.reserved_hosts, *_certificate_names(settings)}
    if settings.listen_host not in _ANY_ADDRESS:
        names.add(_host(settings.listen_host))
    gateway = urlsplit(settings.gateway_url).hostname
    if gateway:
        names.add(_host(gateway))
    return frozenset(normal for name in names if (normal := normal_host(name)))


def _certificate_names(settings: ControlSettings) -> set[str]:
    if settings.tls_cert is None:
        return set()
    try:
        leaf = x509.load_pem_x509_certificates(settings.tls_cert.read_bytes())[0]
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return set()
    addresses = {_host(str(one)) for one in extension.get_values_for_type(x509.IPAddress)}
    return {*extension.get_values_for_type(x509.DNSName), *addresses}


def _host(text: str) -> str:
    """As a Host header spells it."""
    return f"[{text}]" if ":" in text else text
