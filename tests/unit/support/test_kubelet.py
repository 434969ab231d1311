"""Request heads as the stub kubelet reads them."""

import pytest

from tests.support.kubelet import BadRequestError, Request

HEAD = (
    b"POST /exec/ns/p%2d1/main?command=sh&command=-c&command=&input=1&tty=true&tailLines=x HTTP/1.1\r\n"
    b"Upgrade: SPDY/3.1\r\n"
    b"X-Stream-Protocol-Version: v9.channel.k8s.io\r\n"
    b"X-Stream-Protocol-Version: v4.channel.k8s.io, channel.k8s.io\r\n\r\n"
)


def test_path_query_and_flags() -> None:
    request = Request.parse(HEAD)
    assert request.path == ["exec", "ns", "p-1", "main"]
    assert request.query["command"] == ["sh", "-c", ""]
    assert request.flag("input")
    assert request.flag("tty")
    assert not request.flag("output")
    assert request.number("tailLines") is None
    assert request.upgrade == "spdy/3.1"


def test_the_clients_order_decides_among_known_protocols() -> None:
    request = Request.parse(HEAD)
    offered = ("channel.k8s.io", "v4.channel.k8s.io")
    assert request.protocol("x-stream-protocol-version", offered) == "v4.channel.k8s.io"
    with pytest.raises(BadRequestError) as refused:
        request.protocol("x-stream-protocol-version", ("v5.channel.k8s.io",))
    assert refused.value.status == 403


def test_no_protocol_named_is_the_oldest_one_where_offered() -> None:
    request = Request.parse(b"GET / HTTP/1.1\r\n\r\n")
    assert request.protocol("sec-websocket-protocol", ("v4.channel.k8s.io", "")) == ""


def test_a_bad_request_line_is_a_400() -> None:
    with pytest.raises(BadRequestError) as refused:
        Request.parse(b"nonsense\r\n\r\n")
    assert refused.value.status == 400
