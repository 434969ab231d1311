"""Certificates swapped 200 times under a TLS server on uvloop, while clients reconnect all the time."""

import asyncio
import shutil
import ssl
from collections import Counter

import pytest
import uvloop

from pipeops.control.certificates.book import CertificateBook
from pipeops.control.certificates.certificate import Source
from pipeops.control.certificates.files import CertificateFiles
from pipeops.runtime.clock import Clock
from tests.support.certificates import Authority

pytestmark = pytest.mark.slow

SWAPS = 200
CLIENTS = 8
HOSTS = ("a.example.com", "b.example.com")
VERSIONS = 4


class Seen:
    """What the clients went through."""

    def __init__(self):
        self.handshakes = 0
        self.certificates = Counter()
        self.failures = []
        self.echoes = 0


async def echo(reader, writer):
    try:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def connect(port, context, host):
    return await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=host, ssl_handshake_timeout=20
    )


async def ask(reader, writer, text):
    writer.write(text)
    async with asyncio.timeout(20):
        assert await reader.readline() == text


async def reconnect(port, context, host, seen, done):
    while not done.is_set():
        try:
            reader, writer = await connect(port, context, host)
            seen.certificates[writer.get_extra_info("peercert")["serialNumber"]] += 1
            seen.handshakes += 1
            await ask(reader, writer, b"hello\n")
            writer.close()
            await writer.wait_closed()
        except (OSError, AssertionError, TimeoutError) as error:
            seen.failures.append(repr(error))


async def stay(port, context, host, seen, done):
    """One connection from the first certificate to the last."""
    reader, writer = await connect(port, context, host)
    while not done.is_set():
        await ask(reader, writer, b"still here\n")
        seen.echoes += 1
        await asyncio.sleep(0.01)
    writer.close()


async def swap(folder, files):
    """A mounted Secret changes: one symbolic link comes to lead elsewhere, in one step."""
    changes = 0
    for turn in range(1, SWAPS + 1):
        fresh = folder / "..data_tmp"
        fresh.symlink_to(f"..v{turn % VERSIONS}")
        fresh.rename(folder / "..data")
        changes += await files.look()
        await asyncio.sleep(0.01)
    return changes


def mounted(directory, authority):
    """A directory as Kubernetes mounts a Secret with a pair for each host, in several versions."""
    folder = directory / "mounted"
    for version in range(VERSIONS):
        target = folder / f"..v{version}"
        target.mkdir(parents=True)
        for host in HOSTS:
            pair = authority.server(f"{host}-{version}", host)
            shutil.copy(pair.certificate, target / f"{host}.crt")
            shutil.copy(pair.key, target / f"{host}.key")
    (folder / "..data").symlink_to("..v0")
    for host in HOSTS:
        for suffix in ("crt", "key"):
            (folder / f"{host}.{suffix}").symlink_to(f"..data/{host}.{suffix}")
    return folder


async def scenario(folder, authority):
    clock = Clock()
    book = CertificateBook(wall=clock.wall)
    files = CertificateFiles(folder, clock, lambda found: book.replace(Source.FILE, found))
    await files.look()
    server = await asyncio.start_server(
        echo, "127.0.0.1", 0, ssl=book.server_context(("http/1.1",))
    )
    port = server.sockets[0].getsockname()[1]
    context = ssl.create_default_context(cafile=authority.ca_file)
    seen, done = Seen(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            host = HOSTS[number % len(HOSTS)]
            group.create_task(reconnect(port, context, host, seen, done))
        group.create_task(stay(port, context, HOSTS[0], seen, done))
        changes = await swap(folder, files)
        done.set()
    server.close()
    return changes, seen, files.problems


def test_no_handshake_fails_and_no_connection_ends_while_certificates_change(tmp_path):
    authority = Authority(tmp_path / "ca")
    folder = mounted(tmp_path, authority)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        changes, seen, problems = runner.run(scenario(folder, authority))
    print(f"{changes} swaps, {seen.handshakes} handshakes, {seen.echoes} echoes")
    assert seen.failures == []
    assert problems == {}
    assert changes == SWAPS
    assert seen.handshakes > SWAPS
    assert seen.echoes > SWAPS / 2
    assert len(seen.certificates) == VERSIONS * len(HOSTS)  # each was really shown
