"""Cells' little languages: durations, lists, ports, images."""

from collections.abc import Iterable

from pipeops.sim.objects import JsonObject, dig, parse_timestamp

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400
_STEPS = (
    (2 * MINUTE, 1, "s", 0, ""),
    (10 * MINUTE, MINUTE, "m", 1, "s"),
    (3 * HOUR, MINUTE, "m", 0, ""),
    (8 * HOUR, HOUR, "h", MINUTE, "m"),
    (2 * DAY, HOUR, "h", 0, ""),
    (8 * DAY, DAY, "d", HOUR, "h"),
    (2 * YEAR, DAY, "d", 0, ""),
    (8 * YEAR, YEAR, "y", DAY, "d"),
)
"""Below so many seconds: the unit and, unless 0, the smaller unit of the remainder."""


def human_duration(seconds: float) -> str:
    """A duration as kubectl abbreviates it (k8s.io/apimachinery/pkg/util/duration)."""
    whole = int(seconds)
    if whole < 0:
        return "<invalid>" if whole < -1 else "0s"
    for below, unit, letter, small, small_letter in _STEPS:
        if whole < below:
            rest = whole % unit // small if small else 0
            return f"{whole // unit}{letter}" + (f"{rest}{small_letter}" if rest else "")
    return f"{whole // YEAR}y"


def since(text: str | None, now: float) -> str:
    """How long ago a timestamp was, or `<unknown>`."""
    return human_duration(now - parse_timestamp(text)) if text else "<unknown>"


def age(obj: JsonObject, now: float) -> str:
    """The Age column."""
    return since(dig(obj, "metadata", "creationTimestamp"), now)


def at_most_three(items: list[str], empty: str) -> str:
    """A comma-separated list that stops after three."""
    if len(items) > 3:
        return f"{','.join(items[:3])} + {len(items) - 3} more..."
    return ",".join(items) or empty


def containers(template: JsonObject | None) -> list[str]:
    """The Containers and Images columns of a pod template."""
    listed = dig(template, "spec", "containers") or []
    return [
        ",".join(item.get("name", "") for item in listed),
        ",".join(item.get("image", "") for item in listed),
    ]


def labels(mapping: JsonObject | None) -> str:
    """Equality terms, comma separated."""
    return ",".join(f"{k}={v}" for k, v in sorted((mapping or {}).items())) or "<none>"


def service_ports(ports: Iterable[JsonObject]) -> str:
    """The Port(s) column of a Service."""
    found = []
    for port in ports:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        found.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(found) or "<none>"


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def access_modes(modes: Iterable[str] | None) -> str:
    """The Access Modes column of volumes and claims."""
    wanted = set(modes or ())
    return ",".join(short for mode, short in _MODES.items() if mode in wanted)
