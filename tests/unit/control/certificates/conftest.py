"""Certificates of a throw-away authority, and TLS handshakes without sockets."""

import ssl
import time

import pytest

from pipeops.control.certificates.certificate import Source, read_certificate
from tests.support.certificates import Authority
from tests.support.clock import FakeClock


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def clock():
    """Now, as the authority sees it, and still."""
    return FakeClock(wall=time.time())


@pytest.fixture
def issue(authority, clock):
    """Issue a certificate for these hosts, as it comes from one of the sources."""
    counter = iter(range(1_000_000))

    def make(*hosts, label=None, source=Source.UPLOAD, days=1, now=None):
        pair = authority.server(f"{id(counter)}-{next(counter)}", *hosts, days=days)
        return read_certificate(
            pair.certificate.read_bytes(),
            pair.key.read_bytes(),
            label=label if label is not None else (hosts or ("none",))[0],
            source=source,
            origin="certificate of the test",
            now=clock.wall() if now is None else now,
        )

    return make


@pytest.fixture
def handshake():
    """Make both ends of a finished TLS handshake; raises what the client sees."""
    return _handshake


def _handshake(client, server, name):
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (ours, theirs):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                if end is ours:
                    raise  # the server's own complaint reaches the client as an alert
    return ours, theirs
