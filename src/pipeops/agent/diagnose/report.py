"""Checks one after the other, each bounded in time, and their findings as lines or JSON."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from pipeops.errors import PipeOpsError
from pipeops.runtime.redaction import redact_text

Result = Literal["ok", "warn", "fail", "skip"]

SECONDS: Final = 10.0  # for one check


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one check found. `advice` says what to do about a warning or failure."""

    check: str
    result: Result
    detail: str
    advice: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Check:
    """One check; `run` yields the findings' parts (result, detail, advice)."""

    name: str
    run: Callable[[], Awaitable[Sequence["Part"]]]
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One finding before it has a name and a duration."""

    result: Result
    detail: str
    advice: str = ""
    #: Told apart from the check's other findings, e.g. the right that was asked about.
    about: str = ""


async def carry_out(
    checks: Sequence[Check],
    *,
    begin: Callable[[str], None] = lambda _: None,
    tell: Callable[[Finding], None] = lambda _: None,
    seconds: float = SECONDS,
) -> list[Finding]:
    """Run the checks in order; a check that fails or hangs is a finding and not the end.

    Args:
        checks: what to do.
        begin: called with the name of each check before it runs.
        tell: called with each finding.
        seconds: for one check.
    """
    findings = []
    now = asyncio.get_running_loop().time
    for check in checks:
        begin(check.name)
        started = now()
        for part in await _parts(check, seconds):
            name = f"{check.name}: {part.about}" if part.about else check.name
            finding = Finding(
                name,
                part.result,
                redact_text(part.detail),
                redact_text(part.advice),
                round(now() - started, 3),
            )
            findings.append(finding)
            tell(finding)
    return findings


async def _parts(check: Check, seconds: float) -> Sequence[Part]:
    try:
        async with asyncio.timeout(seconds):
            return await check.run()
    except TimeoutError:
        return [Part("fail", f"no answer within {seconds:g} s", check.advice)]
    except PipeOpsError as error:
        return [Part("fail", str(error), check.advice)]
    except OSError as error:
        return [Part("fail", error.strerror or str(error) or type(error).__name__, check.advice)]


def lines(finding: Finding) -> Iterator[str]:
    """Yield a finding as text."""
    yield f"{finding.result:<5} {finding.check}: {finding.detail}"
    if finding.advice and finding.result in {"warn", "fail"}:
        yield f"      -> {finding.advice}"


def exit_code(findings: Sequence[Finding]) -> int:
    """0 unless something failed; warnings do not count."""
    return 1 if any(finding.result == "fail" for finding in findings) else 0


def as_json(findings: Sequence[Finding]) -> str:
    """Return all findings as one JSON document."""
    document = {"ok": exit_code(findings) == 0, "checks": list(findings)}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
