import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.protocol.headers import (
    HOP_BY_HOP,
    HeadersRejected,
    UpgradeRefused,
    connection_options,
    is_identity,
    is_token,
    is_upgrade,
    is_valid_value,
    sanitise_request,
    upgrade_protocol,
    validate,
    without_hop_by_hop,
    without_identity,
)

TCHAR = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
TOKENS = st.lists(st.sampled_from(list(TCHAR)), min_size=1, max_size=20).map(bytes)
IDENTITY = st.sampled_from(
    [
        b"Authorization",
        b"Cookie",
        b"Impersonate-User",
        b"Impersonate-Group",
        b"Impersonate-Uid",
        b"Impersonate-Extra-%2f",
        b"Impersonate-Extra-scopes",
        b"X-Remote-User",
        b"X-Remote-Group",
        b"X-Remote-Extra-a",
        b"X-Forwarded-For",
        b"X-Forwarded-User",
        b"Forwarded",
        b"X-PipeOps-Session",
        b"Proxy-Authorization",
    ]
)


@st.composite
def disguised(draw):
    """An identity header as somebody would try to slip it through."""
    name = draw(IDENTITY)
    name = bytes(
        draw(st.sampled_from([byte, bytes([byte]).swapcase()[0]]))
        if byte != 0x2D
        else draw(st.sampled_from([0x2D, 0x5F]))
        for byte in name
    )
    before = draw(st.sampled_from([b"", b"", b"", b" ", b"\t", b"\r\n", b"\x00", b"\xc2\xa0"]))
    after = draw(st.sampled_from([b"", b"", b"", b" ", b"\t", b":", b"\x00", b"\xe2\x80\x8b"]))
    value = draw(st.sampled_from([b"admin", b"", b"a\r\nImpersonate-User: b", b"a\n b", b"\xff"]))
    return before + name + after, value


PLAIN = st.sampled_from(
    [
        (b"Accept", b"*/*"),
        (b"Content-Length", b"3"),
        (b"Host", b"h"),
        (b"User-Agent", b"kubectl"),
        (b"Connection", b"impersonate-user, Authorization, host, content-length"),
        (b"connection", b"Upgrade"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Trailer", b"Impersonate-User"),
    ]
)
OURS = [(b"Authorization", b"Bearer ours"), (b"Impersonate-User", b"alice")]


@given(st.lists(st.one_of(disguised(), PLAIN), max_size=12))
def test_no_identity_but_ours_survives(sent):
    """S-08, S-09: whatever the client sends, the next hop reads our identity and no other."""
    forwarded = sanitise_request(sent) + OURS
    # Read the head as the most forgiving server would: unfolded, trimmed, underscores as dashes.
    wire = b"".join(name + b": " + value + b"\r\n" for name, value in forwarded)
    read = [line.partition(b":") for line in wire.splitlines()]
    names = [name.strip(b" \t\x00").lower().replace(b"_", b"-") for name, _, _ in read]
    believed = [name for name in names if is_identity(name)]
    assert believed == [b"authorization", b"impersonate-user"]
    assert b"connection" not in names
    assert b"trailer" not in names


@given(st.lists(st.tuples(TOKENS, st.binary(max_size=20)), max_size=10))
def test_what_is_left_is_valid_and_in_order(sent):
    kept = sanitise_request(sent)
    validate(kept)
    remaining = iter(sent)
    assert all(header in remaining for header in kept if header[0].lower()[:4] != b"sec-")
    assert sanitise_request(kept) == kept


@pytest.mark.parametrize(
    "name",
    [b"impersonate-user", b"IMPERSONATE_USER", b"x_remote_user", b"AUTHORIZATION", b"cookie"],
)
def test_identity_names_in_any_spelling(name):
    assert is_identity(name)


@pytest.mark.parametrize(
    "name", [b"accept", b"content-type", b"user-agent", b"x-stream-protocol-version", b"audit-id"]
)
def test_harmless_names_stay(name):
    assert not is_identity(name)
    assert without_identity([(name, b"v")]) == [(name, b"v")]


def test_connection_options_are_removed_but_framing_never():
    sent = [
        (b"Connection", b"close , X-Hop"),
        (b"CONNECTION", b"Content-Length,host,,"),
        (b"x-hop", b"1"),
        (b"Content-Length", b"3"),
        (b"Host", b"h"),
        (b"TE", b"trailers"),
    ]
    assert connection_options(sent) == {b"close", b"x-hop", b"content-length", b"host"}
    assert without_hop_by_hop(sent) == [(b"Content-Length", b"3"), (b"Host", b"h")]


def test_every_hop_by_hop_header_goes():
    assert without_hop_by_hop([(name.title(), b"x") for name in HOP_BY_HOP]) == []


def test_bearer_token_among_subprotocols_is_taken_out():
    token = b"base64url.bearer.authorization.k8s.io.Y2FuYXJ5"
    name = b"Sec-WebSocket-Protocol"
    assert without_identity([(name, token + b", v5.channel.k8s.io")]) == [
        (name, b"v5.channel.k8s.io")
    ]
    assert without_identity([(name, token.upper())]) == []
    assert without_identity([(b"sec_websocket_protocol", token)]) == []
    assert without_identity([(name, b"v4.channel.k8s.io,  v5.channel.k8s.io")]) == [
        (name, b"v4.channel.k8s.io,  v5.channel.k8s.io")
    ]


@pytest.mark.parametrize("protocol", [b"websocket", b"SPDY/3.1"])
def test_the_two_upgrades_are_recognised(protocol):
    headers = [(b"connection", b"keep-alive, Upgrade"), (b"Upgrade", protocol)]
    assert upgrade_protocol(headers) == protocol
    assert is_upgrade(headers)


@pytest.mark.parametrize(
    "protocol",
    [
        b"h2c",
        b"TLS/1.0",
        b"websocket, h2c",
        b"WebSocket",
        b"spdy/3.1",
        b"SPDY/3",
        b"",
        b"SPDY/3.1,",
    ],
)
def test_other_upgrades_are_refused(protocol):
    """S-03."""
    headers = [(b"Connection", b"upgrade"), (b"Upgrade", protocol)]
    with pytest.raises(UpgradeRefused):
        upgrade_protocol(headers)
    assert is_upgrade(headers)


def test_two_upgrade_headers_are_refused():
    headers = [(b"Connection", b"upgrade"), *[(b"Upgrade", b"websocket")] * 2]
    with pytest.raises(UpgradeRefused):
        upgrade_protocol(headers)


@pytest.mark.parametrize(
    "headers",
    [[], [(b"Upgrade", b"h2c")], [(b"Connection", b"upgrade")], [(b"Connection", b"upgraded")]],
)
def test_no_upgrade_without_both_headers(headers):
    assert upgrade_protocol(headers) is None
    assert not is_upgrade(headers)


def test_validation_names_the_header_never_the_value():
    validate([(b"Accept", b"\tok \xe9"), (b"X-Odd!", b"")])
    with pytest.raises(HeadersRejected, match="forbidden character"):
        validate([(b"Bad Name", b"v")])
    with pytest.raises(HeadersRejected, match="forbidden character"):
        validate([(b"", b"v")])
    with pytest.raises(HeadersRejected, match="X-A") as caught:
        validate([(b"X-A", b"canary\r\nX: 1")])
    assert "canary" not in str(caught.value)


@given(st.binary(max_size=10))
def test_tokens_and_values(data):
    assert is_token(data) == (bool(data) and all(byte in TCHAR for byte in data))
    assert is_valid_value(data) == all(b == 9 or (b >= 32 and b != 127) for b in data)
