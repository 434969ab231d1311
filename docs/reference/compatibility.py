"""The rows of compatibility.md: what the Go agent has, looked up in the settings, endpoints and metrics of our code."""

import asyncio
import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import go_agent

from pipeops.agent.settings import INERT, INERT_VARIABLES, AgentSettings
from pipeops.runtime.settings import Key, keys_of


class Row(NamedTuple):
    """One line of a table: same, better, accepted only, or missing; and what is to be said."""

    name: str
    verdict: str
    remark: str


def tables() -> dict[str, list[Row]]:
    """Return the rows of each table by its heading."""
    return {
        "Settings": list(_settings()),
        "Flags": list(_flags()),
        "Environment variables": list(_variables()),
        "Local HTTP endpoints": [_registered(name, endpoints()) for name in go_agent.ENDPOINTS],
        "Metrics": [_registered(name, metrics()) for name in go_agent.METRICS],
    }


def _settings() -> Iterator[Row]:
    keys = {key.name: key for key in keys_of(AgentSettings).values()}
    for name in go_agent.KEYS:
        if name.endswith(".*"):
            yield Row(name, "accepted only", INERT[name.removesuffix("*")])
        else:
            yield _of_key(name, keys.get(name))


def _flags() -> Iterator[Row]:
    flags = {key.flag: key for key in keys_of(AgentSettings).values() if key.flag}
    yield from (_of_key(name, flags.get(name)) for name in go_agent.FLAGS)


def _variables() -> Iterator[Row]:
    variables = {name: key for key in keys_of(AgentSettings).values() for name in key.variables}
    for name in go_agent.VARIABLES:
        if name in INERT_VARIABLES and name not in variables:
            yield Row(name, "accepted only", INERT_VARIABLES[name])
        else:
            yield _of_key(name, variables.get(name))


def _of_key(name: str, key: Key | None) -> Row:
    if key is not None and key.inert:
        return Row(name, "accepted only", key.inert)
    if key is None and name not in go_agent.ELSEWHERE:
        return Row(name, "missing", go_agent.MISSING.get(name, "?"))
    return _there(name)


def _there(name: str) -> Row:
    how = go_agent.BETTER.get(name)
    return Row(name, "better", how) if how else Row(name, "same", "")


def _registered(name: str, registry: frozenset[str]) -> Row:
    if name in registry or any(
        each.startswith(name.removesuffix("*")) for each in registry if "*" in name
    ):
        return _there(name)
    return Row(name, "missing", go_agent.MISSING.get(name, go_agent.NOT_YET))


def endpoints() -> frozenset[str]:
    """Return the paths that the agent's local HTTP server answers."""
    if importlib.util.find_spec("pipeops.agent.local_api.api") is None:
        return frozenset(("/health", "/ready", "/version"))
    from pipeops.agent.local_api.api import LocalApi  # noqa: PLC0415
    from pipeops.agent.observed.agent import Observed  # noqa: PLC0415

    loop = asyncio.new_event_loop()
    try:
        observed = Observed(loop.time, lambda: datetime(2026, 1, 1, tzinfo=UTC))
        return frozenset(LocalApi(observed, loop).paths)
    finally:
        loop.close()


def metrics() -> frozenset[str]:
    """Return the names of the metrics that the agent exports."""
    try:
        found = importlib.util.find_spec("pipeops.agent.metrics.families")
    except ModuleNotFoundError:
        found = None
    if found is None:
        return frozenset()
    from pipeops.agent.metrics.families import FAMILIES  # noqa: PLC0415

    return frozenset(metric.name for metric, _ in FAMILIES)
