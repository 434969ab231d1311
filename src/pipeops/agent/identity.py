"""Who this agent is: its id, which replica of it this process is, which start of that replica."""

import hashlib
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipeops.kube.config import SERVICE_ACCOUNT, is_in_cluster
from pipeops.runtime.clock import Clock

_MACHINE_ID_FILES: Final = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_IFF_UP: Final = 0x1
_IFF_LOOPBACK: Final = 0x8
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9.\-]+")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def agent_id(
    configured: str,
    stored: str = "",
    *,
    environment: Mapping[str, str] = os.environ,
    root: Path = Path("/"),
) -> str:
    """Return the agent's id: the configured one, else the stored one, else one derived from here.

    The derived id never depends on the pod: all replicas and all restarts share it. Old manifests
    set the id from the pod's UID; such a value loses against a stored id.
    """
    looks_like_pod = bool(_UUID.fullmatch(configured)) and "PIPEOPS_POD_NAME" in environment
    if configured and not (looks_like_pod and stored):
        return configured
    if stored:
        return stored
    parts = _pod_parts(environment, root) or _machine_parts(environment, root)
    return "agent-" + hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def instance_id(environment: Mapping[str, str] = os.environ) -> str:
    """Return the name of this replica: the pod's name in a cluster, else the machine's."""
    name = (
        environment.get("PIPEOPS_POD_NAME") or environment.get("POD_NAME") or socket.gethostname()
    )
    return _NOT_IN_NAMES.sub("-", name)[:63].strip("-.") or "unnamed"


def next_epoch(clock: Clock, previous: int = 0) -> int:
    """Return a number above that of every earlier start: the newer session of an instance wins.

    It is the start time in milliseconds; `previous`, where it was kept, guards against a clock
    that was set back.
    """
    return max(int(clock.wall() * 1000), previous + 1)


def _pod_parts(environment: Mapping[str, str], root: Path) -> list[str]:
    """Return what names the cluster and not the pod: its CA and our namespace."""
    if not is_in_cluster(environment):
        return []
    directory = root / SERVICE_ACCOUNT.lstrip("/")
    ca = _read(directory / "ca.crt")
    namespace = _read(directory / "namespace") or environment.get("POD_NAMESPACE", "")
    return ["kubernetes", hashlib.sha256(ca.encode()).hexdigest(), namespace] if ca else []


def _machine_parts(environment: Mapping[str, str], root: Path) -> list[str]:
    """Return the Go agent's parts, so that a machine keeps its id; but never the pod's UID."""
    machine = next(filter(None, (_read(root / path.lstrip("/")) for path in _MACHINE_ID_FILES)), "")
    optional = (
        machine,
        _hardware_address(root),
        environment.get("POD_NAMESPACE", ""),
        environment.get("POD_NAME", ""),
    )
    return [socket.gethostname(), *filter(None, optional)]


def _hardware_address(root: Path) -> str:
    """Return the MAC of the first interface that is up, no loopback, and has one; else ''."""
    interfaces = []
    try:
        for interface in (root / "sys/class/net").iterdir():
            index, flags = _read(interface / "ifindex"), _read(interface / "flags")
            if index.isdecimal() and flags:
                interfaces.append((int(index), int(flags, 16), _read(interface / "address")))
    except (OSError, ValueError):
        return ""
    for _, bits, address in sorted(interfaces):
        if bits & _IFF_UP and not bits & _IFF_LOOPBACK and address:
            return address
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
