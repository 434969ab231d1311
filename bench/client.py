"""Clients that run beside the driver, each in a process of its own; they print one JSON line.

    python -m bench.client TARGET_JSON MODE [ARGUMENTS]

probe SECONDS PATH      small GETs on one connection, 2 ms apart: latencies in µs
echo SECONDS PATH       keystrokes into an exec, 2 ms apart, until each comes back: latencies in µs
download SECONDS PATH   GETs one after the other: bytes per second
stall PATH              one GET whose answer is not read, until killed
watch COUNT PATH FIRES FIRE_PORT   many watches; fan-out times of events; ends on SIGTERM
"""

import asyncio
import json
import signal
import socket
import ssl
import sys
import time

import uvloop

from bench.load import connect, get, read_head, request
from bench.processes import BenchError
from bench.topology import Target


def probe(target, context, seconds, path):
    """Latency of small GETs."""
    latencies = []
    head = request(target, "GET", path)
    with connect(target, context) as connection:
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            began = time.perf_counter()
            connection.sendall(head)
            _, body = read_head(connection)
            while len(body) < 200:
                body += connection.recv(65536)
            latencies.append((time.perf_counter() - began) * 1e6)
            time.sleep(0.002)
    return {"latencies": latencies}


def echo(target, context, seconds, path):
    """Latency of keystrokes: channel 0 of v5.channel.k8s.io is standard input, channel 1 standard output."""
    head = request(target, "GET", path, "Connection: Upgrade", "Upgrade: websocket",
                   "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: YmVuY2ggYmVuY2ggYmVuYw==",
                   "Sec-WebSocket-Protocol: v5.channel.k8s.io")  # fmt: skip
    latencies = []
    with connect(target, context) as connection:
        connection.sendall(head)
        _, data = read_head(connection, b" 101 ")
        _, data = _output(connection, data)  # the prompt
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            key = b"%c" % (97 + len(latencies) % 26)
            began = time.perf_counter()
            connection.sendall(b"\x82\x82\0\0\0\0\0" + key)  # the mask is zero
            text, data = _output(connection, data)
            latencies.append((time.perf_counter() - began) * 1e6)
            if text != b"\x01" + key:
                raise BenchError(f"{key!r} came back as {text!r}")
            time.sleep(0.002)
    return {"latencies": latencies}


def _output(connection, data):
    """The next message, and what came behind it; frames are of at most 125 bytes."""
    while len(data) < 2 or len(data) < 2 + data[1]:
        piece = connection.recv(65536)
        if not piece:
            raise BenchError(f"connection closed within a message: {data[:300]!r}")
        data += piece
    return data[2 : 2 + data[1]], data[2 + data[1] :]


def download(target, context, seconds, path):
    """Bulk transfer for some time."""
    end = time.monotonic() + float(seconds)
    speeds = []
    while time.monotonic() < end:
        speeds.append(get(target, path, context))
    return {"bytes_per_second": len(speeds) / sum(1 / speed for speed in speeds)}


def stall(target, context, path):
    """Ask for a large object and read nothing."""
    with connect(target, context) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.sendall(request(target, "GET", path))
        print(json.dumps({"stalled": True}), flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
    return {}


class Watch(asyncio.Protocol):
    """One watching connection; all of them count together."""

    received = 0
    wanted = 0
    lost = 0
    done: asyncio.Future | None = None
    head = b""

    def connection_made(self, transport):
        transport.write(Watch.head)

    def data_received(self, data):
        Watch.received += data.count(b"\n{") + data.startswith(b"{")
        if Watch.done is not None and Watch.received >= Watch.wanted and not Watch.done.done():
            Watch.done.set_result(None)

    def connection_lost(self, exc):
        Watch.lost += 1


async def watch(target, count, path, fires, fire_port):
    """Open watches, wait for the first event of each, then fire events."""
    loop = asyncio.get_running_loop()
    Watch.head = request(target, "GET", path)
    Watch.wanted = count
    Watch.done = loop.create_future()
    began = time.perf_counter()
    gate = asyncio.Semaphore(100)

    async def one():
        async with gate:
            await loop.create_connection(Watch, "127.0.0.1", target.port)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one())
    async with asyncio.timeout(60):
        await Watch.done
    opened = time.perf_counter() - began
    print(json.dumps({"opened": opened, "lost": Watch.lost}), flush=True)
    stop = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, stop.set_result, None)
    await stop  # the driver has taken its idle figures
    times = []
    for _ in range(fires):
        Watch.wanted = Watch.received + count
        Watch.done = loop.create_future()
        began = time.perf_counter()
        _, writer = await asyncio.open_connection("127.0.0.1", fire_port)
        writer.write(b"POST /fire HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        async with asyncio.timeout(60):
            await Watch.done
        times.append(time.perf_counter() - began)
        writer.close()
        await asyncio.sleep(0.3)
    print(json.dumps({"times": times, "lost": Watch.lost}), flush=True)
    await loop.create_future()


def main():
    """Run one mode."""
    description = json.loads(sys.argv[1])
    authority = description.pop("authority")
    target = Target(**description)
    context = ssl.create_default_context(cafile=authority) if target.tls else None
    mode, *arguments = sys.argv[2:]
    if mode == "watch":
        count, path, fires, port = arguments
        uvloop.run(watch(target, int(count), path, int(fires), int(port)))
        return
    run = {"probe": probe, "echo": echo, "download": download, "stall": stall}[mode]
    print(json.dumps(run(target, context, *arguments)), flush=True)


if __name__ == "__main__":
    main()
