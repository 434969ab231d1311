"""The name in a TLS handshake is kept for its connection."""

import ssl
from pathlib import Path

from pipeops.control.public.server_names import NamedTls, keep_server_names, server_name
from tests.support.certificates import Authority


def handshake(directory: Path, name: str | None) -> tuple[str, list[object]]:
    pair = Authority(directory).server("s", "a.example.com")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.certificate, pair.key)
    chosen: list[object] = []
    server.sni_callback = lambda _tls, asked, _context: chosen.append(asked)
    keep_server_names(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(down, up, server_hostname=name)
    far = server.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for end in (near, far):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return server_name(far), chosen


def test_the_name_is_kept_in_its_normal_spelling_and_the_certificate_still_chosen(
    tmp_path: Path,
) -> None:
    assert handshake(tmp_path, "A.Example.com") == ("a.example.com", ["A.Example.com"])


def test_an_address_names_nobody() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    keep_server_names(context)
    remember = context.sni_callback
    for name in ("127.0.0.1", "::1", None):
        tls = NamedTls.__new__(NamedTls)
        assert remember(tls, name, context) is None  # type: ignore[misc,arg-type]
        assert tls.sni == ""


def test_a_client_that_names_nobody_has_no_name(tmp_path: Path) -> None:
    assert handshake(tmp_path, None)[0] == ""


def test_a_connection_without_tls_has_no_name() -> None:
    assert server_name(None) == ""
