import json
from typing import ClassVar

import pytest

from pipeops.agent.commands import status


class Connection:
    """Stands for the agent's local HTTP server."""

    ready = False
    answers = True
    asked: ClassVar[list[tuple[int, str]]] = []

    def __init__(self, host, port, timeout):
        self._port = port

    def request(self, method, path):
        if not self.answers:
            raise ConnectionRefusedError(111, "Connection refused")
        self.asked.append((self._port, path))
        self.status = 503 if path == "/ready" and not self.ready else 200

    def getresponse(self):
        return self

    def read(self, limit):
        return b'{"status":"not_ready"}'

    def close(self):
        pass


@pytest.fixture(autouse=True)
def connection(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(Connection, "asked", [])
    monkeypatch.setattr(status.http.client, "HTTPConnection", Connection)
    return Connection


def test_status_shows_the_answer_and_fails_while_not_ready(connection, monkeypatch, capsys):
    assert status.status(["--port", "9"]) == 1
    assert json.loads(capsys.readouterr().out) == {"status": "not_ready"}
    monkeypatch.setattr(connection, "ready", True)
    assert status.status(["--port", "9"]) == 0
    assert connection.asked == [(9, "/ready"), (9, "/ready")]


def test_healthcheck_says_nothing(connection, capsys):
    assert status.healthcheck([]) == 0
    assert capsys.readouterr().out == ""
    assert connection.asked == [(8080, "/health")]


def test_nobody_there(connection, monkeypatch, capsys):
    monkeypatch.setattr(connection, "answers", False)
    assert status.healthcheck(["--port", "1"]) == 1
    assert "no agent answers on port 1: Connection refused" in capsys.readouterr().err
    assert status.status(["--port", "x"]) == 2


def test_version(capsys):
    assert status.version([]) == 0
    assert json.loads(capsys.readouterr().out)["implementation"] == "python"
