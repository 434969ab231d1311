"""Cells' little languages: durations, lists, ports, images."""

from collections.abc import Iterable

from pipeops.sim.objects import JsonObject, dig, parse_timestamp

MINUTE, HOUR, DAY = 60, 3600, 86400


def human_duration(seconds: float) -> str:
    """A duration as kubectl abbreviates it (k8s.io/apimachinery/pkg/util/duration)."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * MINUTE:
        return f"{whole}s"
    if whole < 10 * MINUTE:
        return _two(whole, MINUTE, "m", 1, "s")
    if whole < 3 * HOUR:
        return f"{whole // MINUTE}m"
    if whole < 8 * HOUR:
        return _two(whole, HOUR, "h", MINUTE, "m")
    if whole < 2 * DAY:
        return f"{whole // HOUR}h"
    if whole < 8 * DAY:
        return _two(whole, DAY, "d", HOUR, "h")
    if whole < 2 * 365 * DAY:
        return f"{whole // DAY}d"
    if whole < 8 * 365 * DAY:
        return _two(whole, 365 * DAY, "y", DAY, "d")
    return f"{whole // (365 * DAY)}y"


def _two(whole: int, big: int, big_unit: str, small: int, small_unit: str) -> str:
    rest = whole % big // small
    return f"{whole // big}{big_unit}" + (f"{rest}{small_unit}" if rest else "")


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
