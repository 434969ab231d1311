"""A TCP relay that delays each direction and counts bytes: `python -m bench.relay LISTEN TARGET ONE_WAY_MS`.

Userland, so no privileges are needed. Each half second it prints the bytes of both directions so far.
"""

import asyncio
import sys
from collections import deque

import uvloop

MAX_WAITING = 256 << 20  # a link, not a bottleneck: bandwidth times delay must fit

counted = [0, 0]


class End(asyncio.Protocol):
    """One side of a relayed connection."""

    def __init__(self, delay, direction):
        self.delay = delay
        self.direction = direction
        self.peer = None
        self.transport = None
        self.waiting = deque()
        self.size = 0
        self.timer = False
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=MAX_WAITING)

    def data_received(self, data):
        counted[self.direction] += len(data)
        self.push(data)

    def eof_received(self):
        return False

    def connection_lost(self, exc):
        self.push(None)

    def push(self, data):
        peer = self.peer
        if peer is None:
            self.waiting.append((0.0, data))
            return
        if not self.delay:
            peer.deliver(data)
            return
        self.waiting.append((self.loop.time() + self.delay, data))
        if not self.timer:
            self.timer = True
            self.loop.call_at(self.waiting[0][0], self.due)

    def due(self):
        now = self.loop.time() + 0.0003
        while self.waiting and self.waiting[0][0] <= now:
            self.peer.deliver(self.waiting.popleft()[1])
        self.timer = bool(self.waiting)
        if self.waiting:
            self.loop.call_at(self.waiting[0][0], self.due)

    def deliver(self, data):
        if self.transport is None or self.transport.is_closing():
            return
        if data is None:
            self.transport.close()
        else:
            self.transport.write(data)


async def main(listen, target, delay):
    """Relay until killed."""
    loop = asyncio.get_running_loop()
    dials = set()

    def accepted():
        near = End(delay, 0)
        dials.add(task := loop.create_task(dial(near)))
        task.add_done_callback(dials.discard)
        return near

    async def dial(near):
        try:
            _, far = await loop.create_connection(lambda: End(delay, 1), "127.0.0.1", target)
        except OSError:
            near.transport.abort()
            return
        near.peer, far.peer = far, near
        early, near.waiting = near.waiting, deque()
        for _, data in early:
            near.push(data)

    async with await loop.create_server(accepted, "127.0.0.1", listen):
        while True:
            print(*counted, flush=True)
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
