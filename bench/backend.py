"""A small upload sink and watch source: `python -m bench.backend PORT`.

PUT and POST bodies are counted and dropped, `?watch=true` streams one event at once and one for each
POST to /fire. nginx answers uploads before it has read them, and cannot make events.
"""

import asyncio
import re
import sys

import uvloop

EVENT_BYTES = 1000
_EVENT = b'{"type":"MODIFIED","object":"%b"}\n' % (b"x" * (EVENT_BYTES - 32))
EVENT_CHUNK = b"%x\r\n%b\r\n" % (len(_EVENT), _EVENT)
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_BUFFER = memoryview(bytearray(1 << 18))


class Connection(asyncio.BufferedProtocol):
    """One keep-alive connection."""

    watches: set["Connection"] = set()  # noqa: RUF012 - one process, one set

    def __init__(self):
        self.head = b""
        self.left = 0
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        self.watches.discard(self)

    def get_buffer(self, sizehint):
        return _BUFFER

    def buffer_updated(self, size):
        if self.left:
            self.body(size)
            return
        self.head += bytes(_BUFFER[:size])
        end = self.head.find(b"\r\n\r\n") + 4
        if end >= 4:
            head, rest = self.head[:end], self.head[end:]
            self.head = b""
            self.request(head, len(rest))

    def request(self, head, received):
        if b"watch=true" in head.partition(b"\r\n")[0]:
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n" + EVENT_CHUNK
            )
            self.watches.add(self)
            return
        if head.startswith(b"POST /fire"):
            for watch in self.watches:
                watch.transport.write(EVENT_CHUNK)
            self.answer()
            return
        length = _LENGTH.search(head)
        self.left = int(length[1]) if length else 0
        self.body(received)

    def body(self, size):
        self.left -= size
        if self.left <= 0:
            self.left = 0
            self.answer()

    def answer(self):
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )


async def main(port):
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
