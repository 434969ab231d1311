"""AnswerGuard: holds an agent to the framing its answer declares, before any of it reaches the client.

A client's connection carries requests to several clusters. What an agent sends beyond the end of its answer would
be read as the answer to the client's next request, whichever cluster that is for (threats.md S-13, S-27).
"""

import re
from http import HTTPStatus

from pipeops.http1.framing import ChunkedScanner, FramingError
from pipeops.protocol.exchange.native import Framing

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]")
_CLOSES = re.compile(rb"\r\n(?=[cC])(?i:connection)[ \t]*:[ \t]*(?i:close)[ \t]*\r\n")
# The look-ahead lets the engine skip other lines; a case-insensitive pattern as a whole would not.
_FRAMED_BY = re.compile(
    rb"\r\n(?=[cCtT])(?i:(content-length|transfer-encoding))[ \t]*:[ \t]*([^\r\n]*)"
)
_DIGITS = re.compile(rb"[0-9]{1,15}[ \t]*")


# How nearly all answers with a body begin, by status (net/http's and nginx' texts are these).
_STATUS_LINES = {
    int(status): b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())
    for status in HTTPStatus
    if status >= 200 and status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
}
# The value of Content-Length as nearly all write it; an empty text for the blank line and for any other line that may be
# about framing or this hop, and for folds. So `[b"5", b""]` says in one pass that there is one length and nothing else.
# The look-ahead lets the engine skip other lines.
_PLAIN_FIELDS = re.compile(
    rb"\n(?=[cCtTkKpPuU \t\r])(?:[cC]ontent-[lL]ength: ([0-9]{1,15})\r"
    rb"|[ \t\rtTkKpPuU]|[cC][oO][nN](?:[tT][eE][nN][tT]-[lL]|[nN]))"
)


def is_whole_answer(head: bytes, status: int, size: int) -> bool:
    """Whether an answer of the most common kind, with `size` body bytes, is exactly what it declares.

    False says nothing: an AnswerGuard finds out.
    """
    line = _STATUS_LINES.get(status)
    return (
        line is not None
        and size > 0
        and head.startswith(line)
        and head.endswith(b"\r\n\r\n")
        and _PLAIN_FIELDS.findall(head) == [b"%d" % size, b""]
        and head.count(b"\r\n") == len(head.splitlines())
    )


class AnswerGuard:
    """Counts the body of one answer.

    Args:
        head: status line to blank line, as the client will get it.
        to_head_request: the client asked with HEAD.

    Raises:
        FramingError: the head is none, or says something else than `framing`.
    """

    __slots__ = ("_left", "_scanner")

    def __init__(
        self, head: bytes, framing: Framing, status: int, *, to_head_request: bool
    ) -> None:
        self._left = -1  # of a declared length; -1: the end of the connection is the end
        self._scanner: ChunkedScanner | None = None
        line = _STATUS.match(head)
        if (
            line is None
            or int(line[1]) != status
            or head.find(b"\r\n\r\n") + 4 != len(head)
            or head.count(b"\r\n") != len(head.splitlines())  # readers differ over lone CR and LF
        ):
            raise FramingError("malformed response head")
        if (status == 101) is not (framing is Framing.UPGRADE) or 101 != status < 200:
            raise FramingError(
                "a change of protocols, or an interim answer, in the place of the answer"
            )
        if framing is Framing.UPGRADE:
            return
        if framing is Framing.CLOSE:
            # Clients that are not told keep the connection, and send on it what is for others.
            if _CLOSES.search(head) is None:
                raise FramingError("an answer that ends with its connection, and does not say so")
            return
        fields = _FRAMED_BY.findall(head)
        if framing is Framing.NONE:
            empty = (
                len(fields) == 1
                and fields[0][0].lower() == b"content-length"
                and fields[0][1] == b"0"
            )
            if not to_head_request and status not in (204, 304) and not empty:
                raise FramingError("an answer without a body that its status calls for")
            self._left = 0
            return
        if len(fields) != 1 or status in (204, 304):
            raise FramingError("contradictory framing in a response")
        name, value = fields[0]
        if framing is Framing.LENGTH:
            if name.lower() != b"content-length" or _DIGITS.fullmatch(value) is None:
                raise FramingError("malformed Content-Length in a response")
            self._left = 0 if to_head_request else int(value)  # RFC 9110 §9.3.2
        elif name.lower() == b"transfer-encoding" and value.strip().lower() == b"chunked":
            self._scanner = ChunkedScanner()
        else:
            raise FramingError("unknown transfer coding in a response")

    def take(self, data: memoryview) -> None:
        """Count body bytes that are about to be passed on.

        Raises:
            FramingError: more than the answer has.
        """
        if self._left >= 0:
            self._left -= len(data)
            if self._left < 0:
                raise FramingError("the agent sent more than its answer declares")
        elif self._scanner is not None and self._scanner.feed(data) < len(data):
            raise FramingError("the agent sent more than its answer declares")

    @property
    def complete(self) -> bool:
        """Nothing of what was declared is missing."""
        return self._scanner.done if self._scanner is not None else self._left <= 0
