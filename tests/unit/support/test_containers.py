"""Made-up logs, and what annotations of a pod mean."""

import re
import time
from pathlib import Path

import pytest

from tests.support.containers import ANNOTATION, LogQuery, Pod, log_lines


def make(tmp_path: Path, **annotations: str) -> Pod:
    metadata = {
        "namespace": "ns",
        "name": "p",
        "annotations": {ANNOTATION + k.replace("_", "-"): v for k, v in annotations.items()},
    }
    spec = {"containers": [{"name": "main", "image": "i", "command": ["a"], "args": ["b"]}]}
    return Pod({"metadata": metadata, "spec": spec}, tmp_path, started=time.time())


async def read(pod: Pod, query: LogQuery) -> list[bytes]:
    return [line async for line in log_lines(pod, "main", query)]


async def test_history_is_there_at_once(tmp_path: Path) -> None:
    lines = await read(make(tmp_path, log_history="3", log_interval="60"), LogQuery())
    assert lines == [f"ns/p/main line {number}\n".encode() for number in range(3)]


@pytest.mark.parametrize(("tail", "first"), [(0, None), (1, 4), (9, 0)])
async def test_tail_counts_from_the_end(tmp_path: Path, tail: int, first: int | None) -> None:
    lines = await read(make(tmp_path, log_interval="60"), LogQuery(tail=tail))
    expected = [] if first is None else list(range(first, 5))
    assert [int(line.split()[-1]) for line in lines] == expected


async def test_a_limit_cuts_in_the_middle_of_a_line(tmp_path: Path) -> None:
    lines = await read(make(tmp_path, log_interval="60"), LogQuery(limit=25))
    assert len(b"".join(lines)) == 25


async def test_timestamps_are_rfc_3339(tmp_path: Path) -> None:
    (line, *_) = await read(make(tmp_path), LogQuery(timestamps=True))
    assert re.match(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ns/p/main line 0\n", line)


async def test_following_ends_with_the_pod(tmp_path: Path) -> None:
    pod = make(tmp_path, log_history="1", log_interval="60")
    lines = log_lines(pod, "main", LogQuery(follow=True))
    assert await anext(lines) == b"ns/p/main line 0\n"
    pod.gone.set()
    assert [line async for line in lines] == []


def test_ports_are_mapped_by_annotation(tmp_path: Path) -> None:
    pod = make(tmp_path, ports="80=8080,443=8443")
    assert [pod.forwarded_port(port) for port in (80, 443, 22)] == [8080, 8443, 22]


def test_the_command_defaults_to_a_shell(tmp_path: Path) -> None:
    pod = make(tmp_path)
    assert pod.command("main") == ["a", "b"]
    pod.manifest["spec"]["containers"][0] = {"name": "main", "image": "i"}
    assert pod.command("main") == ["/bin/sh"]
