"""`pipeops forwards`."""

import json

import pytest


def forward(**more):
    return {
        "cluster": "prod", "name": "pg", "protocol": "tcp", "remote_port": 15001, "target": "pg.db:5432",
        "by_agent": False, "inactivity_seconds": 0.0, "status": "listening", "connections": 3,
        "connected": True, **more,
    }  # fmt: skip


@pytest.mark.parametrize("command", [("forwards",), ("forwards", "list")])
def test_the_list_shows_port_and_state(pipeops, control, command):
    items = [forward(), forward(name="dns", protocol="udp", connected=False)]
    control.on("GET", "/api/v1/forwards", {"items": items})
    code, out, _ = pipeops(*command)
    assert code == 0
    assert "15001/tcp" in out
    assert "agent not connected" in out


def test_the_list_as_json_and_empty(pipeops, control):
    control.on("GET", "/api/v1/forwards", {"items": [forward()]})
    assert json.loads(pipeops("forwards", "list", "-o", "json")[1]) == [forward()]
    control.on("GET", "/api/v1/forwards", {"items": []})
    assert "no forwards" in pipeops("forwards")[2]


def test_adding_and_removing(pipeops, control):
    control.on("POST", "/api/v1/clusters/prod/forwards", forward(), 201)
    code, out, _ = pipeops("forwards", "add", "prod", "pg", "pg.db:5432", "--inactivity", "5m")
    assert (code, "port 15001/tcp" in out) == (0, True)
    assert control.requests[-1][2] == {
        "name": "pg",
        "target": "pg.db:5432",
        "protocol": "tcp",
        "remote_port": 0,
        "inactivity_seconds": 300.0,
    }
    control.on("DELETE", "/api/v1/clusters/prod/forwards/pg", None, 204)
    assert pipeops("forwards", "remove", "prod", "pg")[0] == 0
    assert json.loads(pipeops("forwards", "remove", "prod", "pg", "-o", "json")[1])["removed"]
