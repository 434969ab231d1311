"""An API server whose only pod echoes: `python -m bench.exec_backend PORT CERTIFICATE KEY AUTHORITY`, all PEM files.

A WebSocket of `exec` prints a prompt and then writes to standard output what comes in on standard input, as a terminal
in raw mode would. Beside it there is the ConfigMap with the cluster's authority, nothing else.
"""

import asyncio
import base64
import hashlib
import json
import re
import ssl
import sys
from pathlib import Path

import uvloop

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"(?i)\r\nsec-websocket-key: *([^\r\n]+)")
_OFFERED = re.compile(rb"(?i)\r\nsec-websocket-protocol: *([^\r\n]+)")
PROMPT = b"$ "
CA_PATH = b"/configmaps/kube-root-ca.crt"


class Connection(asyncio.Protocol):
    """One keep-alive connection, or one WebSocket."""

    ca = b""

    def __init__(self):
        self.data = b""
        self.transport = None
        self.read = self.requests
        self.base64 = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        self.read()

    def requests(self):
        while (end := self.data.find(b"\r\n\r\n") + 4) >= 4:
            head, self.data = self.data[:end], self.data[end:]
            key = _KEY.search(head)
            if key:
                self.switch(key[1], _OFFERED.search(head)[1])
                return
            found = CA_PATH in head.partition(b"\r\n")[0]
            status, body = (b"200 OK", self.ca) if found else (b"404 Not Found", b"{}")
            self.transport.write(
                b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (status, len(body), body)
            )

    def switch(self, key, offered):
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        protocol = offered.partition(b",")[0].strip()
        self.base64 = b"base64" in protocol
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: %b\r\n\r\n" % (accept, protocol)
        )
        self.say(PROMPT)
        self.read = self.frames
        self.frames()

    def frames(self):
        """Keystrokes: masked frames of at most 125 bytes."""
        while len(self.data) >= 6 and len(self.data) >= (size := 6 + (self.data[1] & 127)):
            opcode, mask = self.data[0] & 15, self.data[2:6]
            payload = bytes(byte ^ mask[i & 3] for i, byte in enumerate(self.data[6:size]))
            self.data = self.data[size:]
            if opcode == 8:
                self.transport.write(b"\x88\x00")
                self.transport.close()
            elif opcode in (1, 2) and payload[:1] in (b"\0", b"0"):
                self.say(base64.b64decode(payload[1:]) if self.base64 else payload[1:])

    def say(self, text):
        """Standard output is channel 1."""
        if self.base64:
            payload = b"1" + base64.b64encode(text)
            self.transport.write(b"\x81%c%b" % (len(payload), payload))
        else:
            self.transport.write(b"\x82%c\x01%b" % (1 + len(text), text))


async def main(port, certificate, key, authority):
    """Serve until killed."""
    Connection.ca = json.dumps({"data": {"ca.crt": Path(authority).read_text()}}).encode()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", int(port), ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
