"""Endpoints and EndpointSlices: which pods stand behind a Service."""

from collections.abc import Iterable

from pipeops.sim.controllers.context import PODS, SERVICES, Context, Key
from pipeops.sim.controllers.loop import own_key
from pipeops.sim.controllers.replicas import is_ready
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import (
    JsonObject,
    dig,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from pipeops.sim.storage import Change

ENDPOINTS = GroupResource("", "endpoints")
SLICES = GroupResource("discovery.k8s.io", "endpointslices")
SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


def target_port(port: JsonObject, pod: JsonObject) -> int | None:
    """The pod's port that a Service port leads to; None when the pod has none of that name."""
    target = port.get("targetPort", port.get("port"))
    if isinstance(target, int):
        return target
    for container in pod["spec"].get("containers") or ():
        for offered in container.get("ports") or ():
            if offered.get("name") == target:
                return int(offered["containerPort"])
    return None


def _named(port: JsonObject, number: int | None, *, empty: bool) -> JsonObject:
    found: JsonObject = {"port": number, "protocol": port.get("protocol", "TCP")}
    if port.get("name") or empty:
        found["name"] = port.get("name", "")
    return found


class EndpointsController:
    """Keeps one Endpoints object and one slice for each Service with a selector."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """Services, and those that select a changed pod."""
        if place == SERVICES:
            yield own_key(place, change)
        elif place == PODS:
            labels = labels_of(change.object).items()
            for service in self._context.store.objects(SERVICES, namespace_of(change.object)):
                selector = dig(service, "spec", "selector")
                if selector and selector.items() <= labels:
                    yield Key(SERVICES, namespace_of(service), name_of(service))

    def reconcile(self, key: Key) -> float | None:
        """Write both objects as the pods are now."""
        service = self._context.store.get(SERVICES, key.namespace, key.name)
        if service is None:
            held = self._context.store.get(ENDPOINTS, key.namespace, key.name)
            if held is not None:
                self._context.delete(ENDPOINTS, held)
            return None  # the slices have an owner and go with it
        selector = dig(service, "spec", "selector")
        if not selector:
            return None
        pods = [
            pod
            for pod in self._context.store.objects(PODS, key.namespace)
            if selector.items() <= labels_of(pod).items()
            and dig(pod, "status", "podIP")
            and dig(pod, "status", "phase") not in {"Succeeded", "Failed"}
        ]
        self._endpoints(service, pods)
        self._slice(service, pods)
        return None

    def _endpoints(self, service: JsonObject, pods: list[JsonObject]) -> None:
        alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        subsets = []
        if alive:
            ports = dig(service, "spec", "ports") or []
            subset: JsonObject = {
                "ports": [_named(p, target_port(p, alive[0]), empty=False) for p in ports]
            }
            for field, ready in (("addresses", True), ("notReadyAddresses", False)):
                found = [_address(pod) for pod in alive if is_ready(pod) is ready]
                if found:
                    subset[field] = found
            subsets = [subset]
        labels = {**labels_of(service), "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
        self._write(ENDPOINTS, service, name_of(service), labels, {"subsets": subsets}, owner=False)

    def _slice(self, service: JsonObject, pods: list[JsonObject]) -> None:
        ports = dig(service, "spec", "ports") or []
        content = {
            "addressType": "IPv4",
            "endpoints": [_endpoint(pod) for pod in pods],
            "ports": [
                _named(p, target_port(p, pods[0]) if pods else None, empty=True) for p in ports
            ],
        }
        if not pods:
            content["ports"] = []
        labels = {
            **labels_of(service),
            MANAGED_BY: "endpointslice-controller.k8s.io",
            SERVICE_LABEL: name_of(service),
        }
        owned = self._context.owned(SLICES, service)
        name = name_of(owned[0]) if owned else ""
        self._write(SLICES, service, name, labels, content, owner=True)

    def _write(
        self,
        place: GroupResource,
        service: JsonObject,
        name: str,
        labels: dict[str, str],
        content: JsonObject,
        *,
        owner: bool,
    ) -> None:
        namespace = namespace_of(service)
        content = {key: value for key, value in content.items() if value or owner}
        held = self._context.store.get(place, namespace, name) if name else None
        if held is None:
            head: JsonObject = {"name": name} if name else {"generateName": name_of(service) + "-"}
            head |= {"namespace": namespace, "labels": labels}
            if owner:
                head["ownerReferences"] = [owner_reference(service)]
            self._context.create(place, namespace, {"metadata": head, **content})
            return

        def change(new: JsonObject) -> None:
            for key in ("subsets", "endpoints", "ports"):
                new.pop(key, None)
            new.update(content)
            new["metadata"]["labels"] = labels

        self._context.modify(place, held, change)


def _target(pod: JsonObject) -> JsonObject:
    return {
        "kind": "Pod",
        "name": name_of(pod),
        "namespace": namespace_of(pod),
        "uid": uid_of(pod),
    }


def _address(pod: JsonObject) -> JsonObject:
    node = dig(pod, "spec", "nodeName")
    return {"ip": dig(pod, "status", "podIP"), "nodeName": node, "targetRef": _target(pod)}


def _endpoint(pod: JsonObject) -> JsonObject:
    terminating = bool(pod["metadata"].get("deletionTimestamp"))
    serving = is_ready(pod)
    return {
        "addresses": [dig(pod, "status", "podIP")],
        "conditions": {
            "ready": serving and not terminating,
            "serving": serving,
            "terminating": terminating,
        },
        "nodeName": dig(pod, "spec", "nodeName"),
        "targetRef": _target(pod),
    }
