"""The counts of the conformance suite as Markdown: `python -m tests.conformance.table` rewrites the page."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.conformance import agent_cases, control_cases
from tests.conformance.case import KINDS, Case

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "conformance.md"

INTRODUCTION = """\
# Conformance of the PipeOps dialect

What one end may send to the other, right and wrong, and that ours answers as it should: each case is replayed over a real
socket by a scripted peer, and after each the tunnel must still carry a request. The cases are rows of `tests/conformance/agent_cases.py`
and `control_cases.py`; this page is made from them (`python -m tests.conformance.table`) and a test compares it.

Beyond the tables, `tests/conformance/test_go_agent.py` runs kubectl's flows (get, watch, logs -f, exec, attach, cp, port-forward;
a current kubectl and 1.20) against the control plane with a Go program on hashicorp/yamux and gorilla/websocket that knows nothing of
our own dialect, once multiplexed and once with JSON messages only. `test_gateway.py`, `test_agent_relays.py`, `test_agent_connections.py`,
`test_control_relays.py` and `test_seed_mode.py` replay whole conversations over real sockets: the hand-over to a gateway, relayed
WebSockets, TCP and UDP in messages and in yamux streams, registration by HTTP; where the reference has a transcript, the agent's
lines are compared byte for byte. The real PipeOps service could not be tested.
"""


def _table(cases: Sequence[Case]) -> list[str]:
    counts = Counter((case.message, case.kind) for case in cases)
    messages = list(dict.fromkeys(case.message for case in cases))
    lines = [
        f"| message | {' | '.join(KINDS)} | all |",
        "|---|" + "---:|" * (len(KINDS) + 1),
    ]
    for message in messages:
        row = [counts[message, kind] for kind in KINDS]
        cells = " | ".join(str(count) if count else "" for count in row)
        lines.append(f"| `{message}` | {cells} | {sum(row)} |")
    totals = [sum(counts[message, kind] for message in messages) for kind in KINDS]
    lines.append(f"| **all** | {' | '.join(map(str, totals))} | **{len(cases)}** |")
    return lines


def page() -> str:
    """The whole page."""
    parts = [
        INTRODUCTION,
        "## Control plane → agent: our agent under test\n",
        *_table(agent_cases.CASES),
        "\n## Agent → control plane: our control plane under test\n",
        *_table(control_cases.CASES),
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
