"""Namespaces: what each begins with, and its end with everything in it."""

from collections.abc import Iterable

from pipeops.sim.controllers.context import NAMESPACES, Context, Key
from pipeops.sim.controllers.loop import own_key
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import JsonObject, dig
from pipeops.sim.storage import Change

SERVICE_ACCOUNTS = GroupResource("", "serviceaccounts")
CONFIG_MAPS = GroupResource("", "configmaps")
ROOT_CA = "kube-root-ca.crt"
POLL_SECONDS = 0.2
_DESCRIPTION = "Certificates that verify the API server from inside the cluster."


class NamespaceController:
    """Gives every namespace its ServiceAccount and CA bundle, and empties those that end."""

    def __init__(self, context: Context, authority: str) -> None:
        self._context = context
        self._authority = authority

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """Namespaces, and what must exist in each of them."""
        if place == NAMESPACES:
            yield own_key(place, change)
        elif change.kind == "DELETED" and place in {SERVICE_ACCOUNTS, CONFIG_MAPS}:
            key = own_key(place, change)
            if key.name in {"default", ROOT_CA}:
                yield Key(NAMESPACES, "", key.namespace)

    def reconcile(self, key: Key) -> float | None:
        """Furnish a namespace, or take it apart."""
        found = self._context.store.get(NAMESPACES, "", key.name)
        if found is None:
            return None
        if found["metadata"].get("deletionTimestamp"):
            return self._empty(found, key.name)
        if self._context.store.get(SERVICE_ACCOUNTS, key.name, "default") is None:
            self._context.create(SERVICE_ACCOUNTS, key.name, {"metadata": {"name": "default"}})
        if self._context.store.get(CONFIG_MAPS, key.name, ROOT_CA) is None:
            head = {"name": ROOT_CA, "annotations": {"kubernetes.io/description": _DESCRIPTION}}
            body = {"metadata": head, "data": {"ca.crt": self._authority}}
            self._context.create(CONFIG_MAPS, key.name, body)
        return None

    def _empty(self, namespace: JsonObject, name: str) -> float | None:
        left = False
        for place in self._context.store.places():
            resource = self._context.registry.by_storage(place)
            if resource is None or not resource.namespaced:
                continue
            for obj in self._context.store.objects(place, name):
                if not obj["metadata"].get("deletionTimestamp"):
                    self._context.delete(place, obj)
            left = left or bool(self._context.store.objects(place, name))
        if left:
            return POLL_SECONDS
        if dig(namespace, "spec", "finalizers"):

            def change(new: JsonObject) -> None:
                new["spec"]["finalizers"] = []

            self._context.modify(NAMESPACES, namespace, change, subresource="finalize")
        return None
