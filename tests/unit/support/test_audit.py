"""Reading an audit log while it grows."""

import json
from pathlib import Path

from tests.support.audit import AuditLog, acting_user


def test_only_whole_lines_after_the_mark_count(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text('{"verb": "old"}\n')
    log = AuditLog(path)
    with path.open("a") as more:
        more.write('{"verb": "get"}\n{"verb": "list"}\n{"verb": "half')
    assert [event["verb"] for event in log.events()] == ["get", "list"]
    assert list(log.events(verb="list")) == [{"verb": "list"}]
    log.mark()
    assert list(log.events()) == []


def test_the_impersonated_user_acts() -> None:
    event = {"user": {"username": "agent"}}
    assert acting_user(event) == "agent"
    event["impersonatedUser"] = {"username": "ada"}
    assert acting_user(json.loads(json.dumps(event))) == "ada"
