"""The simulator answers every recorded conversation as the real API server does.

`recorded/*.json` hold the real server's answers, so that the comparison needs no real server; where one is there, the
records are checked as well (and written anew with RECORD_CONTRACT=1). What still differs is listed in
`known_differences.txt`, which may only shrink.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.contract import cases_access
from tests.contract.cases import CASES
from tests.contract.transcript import Conversation, differences
from tests.support.apiserver import ApiServer
from tests.support.simulator import Simulator

assert cases_access  # it registers its cases in CASES
HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
KNOWN = HERE / "known_differences.txt"


def known() -> dict[str, set[str]]:
    """Case to the places that may differ: `case: step path  # why`."""
    found: dict[str, set[str]] = {}
    for line in KNOWN.read_text().splitlines():
        text = line.partition("  #")[0].strip()
        if text and not text.startswith("#"):
            name, _, place = text.partition(": ")
            found.setdefault(name, set()).add(place)
    return found


def run(name: str, server: ApiServer | Simulator) -> list[dict[str, Any]]:
    conversation = Conversation(server.admin, server.new_namespace())
    CASES[name](conversation)
    return json.loads(json.dumps(conversation.steps))


def record(name: str) -> Path:
    return RECORDED / f"{name}.json"


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_simulator_answers_as_recorded(name: str, simulator: Simulator) -> None:
    wanted = json.loads(record(name).read_text())
    steps = run(name, simulator)
    assert len(steps) == len(wanted)
    found = {}
    for number, (mine, real) in enumerate(zip(steps, wanted, strict=True)):
        for text in differences(mine, real):
            place, _, what = text.partition(": ")
            found[f"{number} {place}"] = f"{real['request']} {what}"
    allowed = known().get(name, set())
    surprising = {place: what for place, what in found.items() if place not in allowed}
    lines = [f"{name}: {place}  # {what}" for place, what in surprising.items()]
    assert not lines, "the simulator differs:\n" + "\n".join(lines)
    needless = allowed - found.keys()
    assert not needless, f"no longer different, remove from {KNOWN.name}: {sorted(needless)}"


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CASES))
def test_the_record_is_what_the_real_server_answers(name: str, apiserver: ApiServer) -> None:
    steps = run(name, apiserver)
    if os.environ.get("RECORD_CONTRACT"):
        record(name).write_text(json.dumps(steps, indent=1, sort_keys=True) + "\n")
    changed = list(differences(json.loads(record(name).read_text()), steps))
    assert not changed, "\n".join(changed)


def test_every_known_difference_belongs_to_a_case() -> None:
    assert known().keys() <= CASES.keys()


def test_every_record_belongs_to_a_case() -> None:
    assert {path.stem for path in RECORDED.glob("*.json")} == CASES.keys()
