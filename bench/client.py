"""Clients that run beside the driver, each in a process of its own; they print one JSON line.

    python -m bench.client TARGET_JSON MODE [ARGUMENTS]

probe SECONDS PATH      small GETs on one connection, 2 ms apart: latencies in µs
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
    run = {"probe": probe, "download": download, "stall": stall}[mode]
    print(json.dumps(run(target, context, *arguments)), flush=True)


if __name__ == "__main__":
    main()
