"""Error pages: HTML for people, JSON or plain text for programs, a status for gRPC; each with the request id."""

import html
import json
import re
from importlib import resources
from string import Template
from urllib.parse import quote

from pipeops.control.public.trouble import Words
from pipeops.http1.head import HeaderBlock
from pipeops.protocol.exchange.status import phrase

_QUALITY = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")
_PHRASES = {421: "Misdirected Request", 308: "Permanent Redirect", 301: "Moved Permanently", 307: "Temporary Redirect"}  # fmt: skip
# Nothing is loaded from anywhere, nothing can frame it, nothing remembers it.
_SAFE = (
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'\r\n"
)


def page(
    words: Words, block: HeaderBlock | None, request_id: str, *, retry_after: int, close: bool
) -> tuple[int, bytes, bytes]:
    """Make an answer that says what went wrong: status, HTTP/1.1 head, body.

    `block` are the request's header lines, None if they could not be read; `retry_after` are seconds, 0 for what
    `words` say.
    """
    retry = retry_after or words.retry_after
    if block is not None and _is_grpc(block):
        return _grpc(words, request_id, close=close)
    kind = _preferred(block.value(b"accept") if block is not None else None)
    if kind == "text/html":
        body = _TEMPLATE.substitute(
            code=words.code,
            title=html.escape(words.title),
            advice=html.escape(words.advice),
            request_id=html.escape(request_id),
        )
    elif kind == "application/json":
        error = {"code": words.code, "message": words.title, "advice": words.advice}
        body = json.dumps({"error": error, "request_id": request_id}) + "\n"
    else:
        body = f"{words.code} {words.title}\n{words.advice}\nrequest id: {request_id}\n"
    data = body.encode()
    lines = [
        f"HTTP/1.1 {words.code} {_PHRASES.get(words.code) or phrase(words.code)}\r\n",
        f"Content-Type: {kind}; charset=utf-8\r\nContent-Length: {len(data)}\r\n",
        f"X-Request-Id: {request_id}\r\nVary: Accept\r\n",
        _SAFE,
        f"Retry-After: {retry}\r\n" if retry else "",
        "Connection: close\r\n" if close else "",
        "\r\n",
    ]
    return words.code, "".join(lines).encode(), data


def redirect(code: int, location: str, request_id: str, *, close: bool) -> bytes:
    """Make the head of an answer without a body that sends the client elsewhere."""
    end = "Connection: close\r\n\r\n" if close else "\r\n"
    return (
        f"HTTP/1.1 {code} {_PHRASES[code]}\r\nLocation: {location}\r\nContent-Length: 0\r\n"
        f"X-Request-Id: {request_id}\r\nCache-Control: no-store\r\n{end}"
    ).encode("ascii")


def _is_grpc(block: HeaderBlock) -> bool:
    return (block.value(b"content-type") or b"").lower().startswith(b"application/grpc")


def _grpc(words: Words, request_id: str, *, close: bool) -> tuple[int, bytes, bytes]:
    """A Trailers-Only answer (gRPC over HTTP2, "Responses"); the text is percent-encoded as it demands."""
    text = quote(f"{words.title} (request id: {request_id})", safe=" !#$&'()*+,/:;=?@[]~")
    end = "Connection: close\r\n\r\n" if close else "\r\n"
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n"
        f"grpc-status: {words.grpc}\r\ngrpc-message: {text}\r\nX-Request-Id: {request_id}\r\n{end}"
    )
    return 200, head.encode("ascii"), b""


def _preferred(accept: bytes | None) -> str:
    """The best of what we have (RFC 9110 section 12.5.1): HTML only for who names it, as browsers do."""
    best, kind = 0.0, "text/plain"
    for part in (accept or b"").decode("latin-1").lower().split(","):
        name, _, rest = part.partition(";")
        name = name.strip()
        if name not in ("text/html", "application/json", "application/problem+json"):
            continue
        found = _QUALITY.search(rest)
        quality = float(found[1]) if found else 1.0
        if quality > best:
            best, kind = quality, "text/html" if name == "text/html" else "application/json"
    return kind


_TEMPLATE = Template(resources.files(__package__).joinpath("page.html").read_text("utf-8"))
