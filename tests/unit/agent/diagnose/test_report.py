import asyncio
import json

from pipeops.agent.diagnose.report import Check, Part, as_json, carry_out, exit_code, lines
from pipeops.errors import PipeOpsError


def check(name, result, advice=""):
    async def run():
        if isinstance(result, Exception):
            raise result
        return result

    return Check(name, run, advice)


async def test_a_check_that_fails_is_a_finding_and_not_the_end():
    begun, told = [], []
    findings = await carry_out(
        [
            check("a", PipeOpsError("broken"), "mend it"),
            check("b", OSError(111, "refused")),
            check("c", [Part("ok", "fine"), Part("warn", "hm", "look", about="x")]),
        ],
        begin=begun.append,
        tell=told.append,
    )
    assert begun == ["a", "b", "c"]
    assert told == findings
    assert [(each.check, each.result, each.detail) for each in findings] == [
        ("a", "fail", "broken"),
        ("b", "fail", "refused"),
        ("c", "ok", "fine"),
        ("c: x", "warn", "hm"),
    ]
    assert list(lines(findings[0])) == ["fail  a: broken", "      -> mend it"]
    assert list(lines(findings[2])) == ["ok    c: fine"]
    assert exit_code(findings) == 1
    assert exit_code(findings[2:]) == 0
    document = json.loads(as_json(findings))
    assert document["ok"] is False
    assert document["checks"][0]["advice"] == "mend it"


async def test_a_check_that_hangs_is_cut_off():
    async def hang():
        await asyncio.Event().wait()

    (finding,) = await carry_out([Check("h", hang, "wait")], seconds=0.001)
    assert finding.result == "fail"
    assert "no answer within" in finding.detail


async def test_secrets_do_not_get_out():
    token = "Bearer abcdefghijklmnopqrstuvwxyz0123456789"
    (finding,) = await carry_out([check("a", [Part("fail", f"said {token}", f"use {token}")])])
    assert "abcdefghij" not in finding.detail + finding.advice
