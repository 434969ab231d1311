"""The pod row: its Status and Restarts columns follow kubectl's long-standing rules."""

from typing import Any

from pipeops.sim.objects import JsonObject, dig, parse_timestamp
from pipeops.sim.tables.text import age, human_duration, since


def _terminated_reason(state: JsonObject) -> str:
    if state.get("reason"):
        return str(state["reason"])
    if state.get("signal"):
        return f"Signal:{state['signal']}"
    return f"ExitCode:{state.get('exitCode', 0)}"


def _condition(pod: JsonObject, kind: str) -> JsonObject | None:
    listed = dig(pod, "status", "conditions") or []
    return next((dict(c) for c in listed if c.get("type") == kind), None)


def _is_true(pod: JsonObject, kind: str) -> bool:
    found = _condition(pod, kind)
    return found is not None and found.get("status") == "True"


def _initializing(pod: JsonObject) -> str | None:
    """The `Init:…` reason while an init container has not finished, else None."""
    statuses = dig(pod, "status", "initContainerStatuses") or []
    total = len(dig(pod, "spec", "initContainers") or [])
    for index, status in enumerate(statuses):
        state = status.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended and not ended.get("exitCode"):
            continue
        if ended:
            reason = _terminated_reason(ended)
            return f"Init:{reason}"
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return None


def _main_reason(pod: JsonObject, reason: str) -> str:
    error, has_running = "", False
    for status in reversed(dig(pod, "status", "containerStatuses") or []):
        state = status.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif state.get("terminated"):
            reason = _terminated_reason(state["terminated"])
            error = reason if state["terminated"].get("exitCode") else error
        elif status.get("ready") and state.get("running"):
            has_running = True
    if reason != "Completed":
        return reason
    if has_running and _is_true(pod, "Ready"):
        return "Running"
    return error or ("NotReady" if has_running else reason)


def pod_status(pod: JsonObject) -> str:
    """The Status column."""
    phase = dig(pod, "status", "phase") or ""
    reason = dig(pod, "status", "reason") or phase
    scheduled = _condition(pod, "PodScheduled") or {}
    if scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    initializing = _initializing(pod)
    if initializing is None or _is_true(pod, "Initialized"):
        reason = _main_reason(pod, reason)
    else:
        reason = initializing
    if dig(pod, "metadata", "deletionTimestamp"):
        if dig(pod, "status", "reason") == "NodeLost":
            return "Unknown"
        if phase not in {"Succeeded", "Failed"}:
            return "Terminating"
    return reason


def _restarts(pod: JsonObject, now: float) -> str:
    statuses = dig(pod, "status", "containerStatuses") or []
    total = sum(status.get("restartCount", 0) for status in statuses)
    ends = [dig(status, "lastState", "terminated", "finishedAt") for status in statuses]
    moments = [parse_timestamp(end) for end in ends if end]
    if total and moments:
        return f"{total} ({human_duration(now - max(moments))} ago)"
    return str(total)


def _gates(pod: JsonObject) -> str:
    gates = dig(pod, "spec", "readinessGates") or []
    if not gates:
        return "<none>"
    good = sum(_is_true(pod, gate.get("conditionType", "")) for gate in gates)
    return f"{good}/{len(gates)}"


def pod_row(pod: JsonObject, now: float) -> list[Any]:
    """All cells of a pod, the wide ones last."""
    statuses = dig(pod, "status", "containerStatuses") or []
    ready = sum(bool(s.get("ready") and dig(s, "state", "running") is not None) for s in statuses)
    addresses = dig(pod, "status", "podIPs") or [{}]
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(dig(pod, 'spec', 'containers') or [])}",
        pod_status(pod),
        _restarts(pod, now),
        age(pod, now),
        addresses[0].get("ip") or "<none>",
        dig(pod, "spec", "nodeName") or "<none>",
        dig(pod, "status", "nominatedNodeName") or "<none>",
        _gates(pod),
    ]


def event_row(event: JsonObject, now: float) -> list[Any]:
    """All cells of an event."""
    first = since(event.get("firstTimestamp") or event.get("eventTime"), now)
    last = since(event["lastTimestamp"], now) if event.get("lastTimestamp") else first
    count = event.get("count") or 1
    if event.get("series"):
        last = since(event["series"].get("lastObservedTime"), now)
        count = event["series"].get("count", count)
    involved = event.get("involvedObject") or {}
    target = str(involved.get("kind", "")).lower()
    if involved.get("name"):
        target += "/" + involved["name"]
    source = event.get("source") or {}
    origin = [source.get("component") or event.get("reportingComponent") or ""]
    host = source.get("host") or event.get("reportingInstance") or ""
    return [
        last,
        event.get("type", ""),
        event.get("reason", ""),
        target,
        involved.get("fieldPath", ""),
        ", ".join(origin + ([host] if host else [])),
        str(event.get("message", "")).strip(),
        first,
        count,
        event["metadata"]["name"],
    ]
