"""A pod's quality-of-service class."""

from pipeops.sim.objects import JsonObject

_RESOURCES = ("cpu", "memory")


def quality_of_service(spec: JsonObject) -> str:
    """Guaranteed, Burstable or BestEffort, from the containers' requests and limits."""
    guaranteed, any_set = True, False
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        held = container.get("resources") or {}
        requests, limits = held.get("requests") or {}, held.get("limits") or {}
        if any(name in requests or name in limits for name in _RESOURCES):
            any_set = True
        for name in _RESOURCES:
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
