"""How fast both cores of a tunnel are without any I/O: small exchanges and bulk streams.

    python bench/mux_micro.py [--profile]

An exchange is what one small request costs the two sessions: open, a frame there, a frame back, both
ends finished. Numbers are for both sessions together on one core.
"""

import argparse
import cProfile
import gc
import pstats
import time

from pipeops.protocol.limits import Limits
from pipeops.protocol.mux import Role, Session

REQUEST = b"q" * 300
RESPONSE = b"r" * 300
BLOCK = memoryview(b"b" * 16_384)


class Client:
    """Consumes an answer."""

    __slots__ = ("received", "stream", "writable")

    def __init__(self):
        self.stream = None
        self.received = 0
        self.writable = True

    def on_data(self, data, _fin):
        self.received += len(data)
        self.stream.consumed(len(data))

    def on_reset(self):
        raise AssertionError("unexpected reset")

    def on_writable(self):
        self.writable = True


class Server:
    """Answers one request, as an agent does whose backend answers at once."""

    __slots__ = ("stream",)

    def __init__(self, stream):
        self.stream = stream

    def on_data(self, data, fin):
        self.stream.consumed(len(data))
        if fin:
            self.stream.send(RESPONSE, True)

    def on_reset(self):
        raise AssertionError("unexpected reset")

    def on_writable(self):
        pass


class Drain:
    """Consumes an upload."""

    __slots__ = ("received", "stream")

    def __init__(self, stream):
        self.stream = stream
        self.received = 0

    def on_data(self, data, _fin):
        self.received += len(data)
        self.stream.consumed(len(data))

    def on_reset(self):
        raise AssertionError("unexpected reset")

    def on_writable(self):
        pass


def fail(_stream, error):
    raise error


def pair(accept, limits):
    """A server that opens and a client that accepts."""

    def wake():
        pass

    def refuse(_stream):
        return None

    near = Session(Role.SERVER, limits, accept=refuse, wake=wake, on_sink_error=fail, now=0.0)
    far = Session(Role.CLIENT, limits, accept=accept, wake=wake, on_sink_error=fail, now=0.0)
    return near, far


def carry(source, target, headroom):
    """Move every batch of one side; how many there were."""
    batches = 0
    while (batch := source.data_to_send()) is not None:
        target.receive_data(memoryview(batch)[headroom:], now=0.0)
        batches += 1
    return batches


def exchanges(count, concurrent):
    """Seconds for `count` exchanges, `concurrent` of them per batch."""
    limits = Limits()
    near, far = pair(Server, limits)
    headroom = limits.headroom
    start = time.perf_counter()
    for _ in range(count // concurrent):
        for _ in range(concurrent):
            client = Client()
            stream = client.stream = near.open(client)
            stream.send(REQUEST, True)
        carry(near, far, headroom)
        carry(far, near, headroom)
    elapsed = time.perf_counter() - start
    assert not near.streams
    assert not far.streams
    return elapsed


def bulk(total, streams, limits):
    """Seconds for `total` bytes upwards in 16 KiB sends on some streams at once."""
    near, far = pair(Drain, limits)
    clients = []
    for _ in range(streams):
        client = Client()
        client.stream = near.open(client)
        clients.append(client)
    rounds = total // len(BLOCK) // streams
    left = [rounds] * streams
    start = time.perf_counter()
    while any(left):
        for index, client in enumerate(clients):
            burst = 4
            while left[index] and burst and client.writable:
                left[index] -= 1
                burst -= 1
                client.writable = client.stream.send(BLOCK, not left[index])
        carry(near, far, limits.headroom)
        carry(far, near, limits.headroom)
    while carry(near, far, limits.headroom) or carry(far, near, limits.headroom):
        pass
    return time.perf_counter() - start


def best(measure, *args, rounds=5):
    return min(measure(*args) for _ in range(rounds))


def report():
    gc.freeze()
    for concurrent in (1, 32, 256):
        count = 40_960
        seconds = best(exchanges, count, concurrent)
        micros = seconds / count * 1e6
        print(
            f"exchange 300 B, {concurrent:>3} per batch: {micros:5.2f} us"
            f"  {2 * count / seconds / 1e3:6.0f} k frames/s"
        )
    total = 256 << 20
    for streams in (1, 8):
        seconds = best(bulk, total, streams, Limits(), rounds=3)
        print(
            f"16 KiB sends, {streams} streams: {total / seconds / 1e6:6.0f} MB/s"
            f"  {total / len(BLOCK) / seconds / 1e3:6.0f} k frames/s"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", action="store_true", help="where the time of exchanges goes")
    if not parser.parse_args().profile:
        report()
        return
    profile = cProfile.Profile()
    profile.runcall(exchanges, 40_960, 32)
    pstats.Stats(profile).sort_stats("tottime").print_stats(15)


if __name__ == "__main__":
    main()
