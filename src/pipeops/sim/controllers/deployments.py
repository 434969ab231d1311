"""Deployments: a ReplicaSet for each template, rolled from the old ones to the newest."""

import hashlib
import json
from collections.abc import Iterable
from math import ceil

from pipeops.sim.controllers.context import DEPLOYMENTS, REPLICA_SETS, Context, Key
from pipeops.sim.controllers.loop import own_key
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import (
    JsonObject,
    controller_of,
    deep_copy,
    dig,
    name_of,
    namespace_of,
    owner_reference,
)
from pipeops.sim.storage import Change
from pipeops.sim.strategy import NAME_ALPHABET

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
HASH_LENGTH = 10
_COMPONENT = "deployment-controller"


def template_hash(template: JsonObject, collisions: int = 0) -> str:
    """A short stable name of a pod template."""
    text = json.dumps([template, collisions], sort_keys=True).encode()
    digest = hashlib.sha256(text).digest()[:HASH_LENGTH]
    return "".join(NAME_ALPHABET[byte % len(NAME_ALPHABET)] for byte in digest)


def resolve_limit(value: int | str | None, total: int, *, up: bool) -> int:
    """A number or a percentage of `total`."""
    if isinstance(value, str) and value.endswith("%"):
        exact = int(value[:-1]) * total / 100
        return ceil(exact) if up else int(exact)
    return int(value or 0)


def limits(deployment: JsonObject) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods; never both zero."""
    total = dig(deployment, "spec", "replicas") or 0
    rolling = dig(deployment, "spec", "strategy", "rollingUpdate") or {}
    surge = resolve_limit(rolling.get("maxSurge"), total, up=True)
    unavailable = resolve_limit(rolling.get("maxUnavailable"), total, up=False)
    if not surge and not unavailable:
        unavailable = 1
    return surge, min(unavailable, total) if total else 0


def _without_hash(template: JsonObject) -> JsonObject:
    copy: JsonObject = deep_copy(template)
    (copy.get("metadata") or {}).get("labels", {}).pop(HASH_LABEL, None)
    return copy


def _replicas(owner: JsonObject) -> int:
    return dig(owner, "spec", "replicas") or 0


def _status(replica_set: JsonObject, name: str) -> int:
    return dig(replica_set, "status", name) or 0


def _revision(obj: JsonObject) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


class DeploymentController:
    """Keeps one ReplicaSet per template."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """Deployments, and the ReplicaSets they own."""
        if place == DEPLOYMENTS:
            yield own_key(place, change)
        elif place == REPLICA_SETS:
            owner = controller_of(change.object)
            if owner is not None and owner.get("kind") == "Deployment":
                yield Key(DEPLOYMENTS, namespace_of(change.object), owner["name"])

    def reconcile(self, key: Key) -> float | None:
        """Move the rollout one step."""
        found = self._context.store.get(key.place, key.namespace, key.name)
        if found is None:
            return None
        if not found["metadata"].get("deletionTimestamp"):
            owned = self._context.owned(REPLICA_SETS, found)
            newest = self._newest(found, owned)
            if newest is None and not dig(found, "spec", "paused"):
                newest = self._create(found, owned)
            elif newest is not None:
                newest = self._annotate(found, newest, owned)
            olds = [rs for rs in owned if newest is None or name_of(rs) != name_of(newest)]
            self._roll(found, newest, olds)
            self._forget(found, olds)
        self._report(key)
        return None

    @staticmethod
    def _newest(deployment: JsonObject, owned: list[JsonObject]) -> JsonObject | None:
        wanted = _without_hash(deployment["spec"]["template"])
        same = [rs for rs in owned if _without_hash(rs["spec"]["template"]) == wanted]
        return min(same, key=lambda rs: str(rs["metadata"]["creationTimestamp"]), default=None)

    def _create(self, deployment: JsonObject, owned: list[JsonObject]) -> JsonObject | None:
        template = deep_copy(deployment["spec"]["template"])
        mark = template_hash(deployment["spec"]["template"])
        template.setdefault("metadata", {}).setdefault("labels", {})[HASH_LABEL] = mark
        selector = deep_copy(deployment["spec"]["selector"])
        selector.setdefault("matchLabels", {})[HASH_LABEL] = mark
        revision = max(map(_revision, owned), default=0) + 1
        made = self._context.create(
            REPLICA_SETS,
            namespace_of(deployment),
            {
                "metadata": {
                    "name": f"{name_of(deployment)}-{mark}",
                    "namespace": namespace_of(deployment),
                    "labels": dict(template["metadata"]["labels"]),
                    "annotations": self._notes(deployment, revision),
                    "ownerReferences": [owner_reference(deployment)],
                },
                "spec": {"replicas": 0, "selector": selector, "template": template},
            },
        )
        if made is not None:
            self._set_revision(deployment, revision)
        return made

    @staticmethod
    def _notes(deployment: JsonObject, revision: int) -> dict[str, str]:
        surge, _ = limits(deployment)
        given = deployment["metadata"].get("annotations") or {}
        kept = {key: text for key, text in given.items() if key not in {LAST_APPLIED, REVISION}}
        total = _replicas(deployment)
        marks = {DESIRED: str(total), MAXIMUM: str(total + surge), REVISION: str(revision)}
        return {**kept, **marks}

    def _annotate(
        self, deployment: JsonObject, newest: JsonObject, owned: list[JsonObject]
    ) -> JsonObject:
        others = [rs for rs in owned if name_of(rs) != name_of(newest)]
        highest = max(map(_revision, others), default=0)
        revision = max(_revision(newest), highest + 1 if _revision(newest) <= highest else 0)
        notes = self._notes(deployment, revision)
        held = newest["metadata"].get("annotations") or {}
        if any(held.get(key) != text for key, text in notes.items()):

            def change(new: JsonObject) -> None:
                new["metadata"]["annotations"] = {**held, **notes}

            newest = self._context.modify(REPLICA_SETS, newest, change)
        self._set_revision(deployment, revision)
        return newest

    def _set_revision(self, deployment: JsonObject, revision: int) -> None:
        found = self._context.store.get(DEPLOYMENTS, namespace_of(deployment), name_of(deployment))
        if found is None or _revision(found) == revision:
            return

        def change(new: JsonObject) -> None:
            new["metadata"].setdefault("annotations", {})[REVISION] = str(revision)

        self._context.modify(DEPLOYMENTS, found, change)

    def _roll(
        self, deployment: JsonObject, newest: JsonObject | None, olds: list[JsonObject]
    ) -> None:
        wanted = _replicas(deployment)
        if dig(deployment, "spec", "paused"):
            active = newest or max(olds, key=_revision, default=None)
            if active is not None and not any(_replicas(rs) for rs in olds if rs is not active):
                self._scale(deployment, active, wanted)
            return
        if newest is None:
            return
        if dig(deployment, "spec", "strategy", "type") == "Recreate":
            for old in olds:
                self._scale(deployment, old, 0)
            if all(not _status(old, "replicas") for old in olds):
                self._scale(deployment, newest, wanted)
            return
        surge, unavailable = limits(deployment)
        total = _replicas(newest) + sum(map(_replicas, olds))
        if _replicas(newest) > wanted:
            self._scale(deployment, newest, wanted)
        room = min(wanted + surge - total, wanted - _replicas(newest))
        if room > 0:
            self._scale(deployment, newest, _replicas(newest) + room)
        self._shrink(deployment, newest, olds, wanted - unavailable)

    def _shrink(
        self,
        deployment: JsonObject,
        newest: JsonObject,
        olds: list[JsonObject],
        minimum: int,
    ) -> None:
        # A status lags behind the spec: pods that are to go no longer count as available.
        ready = {name_of(rs): min(_replicas(rs), _status(rs, "availableReplicas")) for rs in olds}
        available = _status(newest, "availableReplicas") + sum(ready.values())
        spare = available - minimum
        for old in sorted(olds, key=_revision):
            held, up = _replicas(old), ready[name_of(old)]
            cut = min(held, held - up + max(0, spare))
            if cut:
                self._scale(deployment, old, held - cut)
                spare -= max(0, cut - (held - up))

    def _scale(self, deployment: JsonObject, replica_set: JsonObject, replicas: int) -> None:
        found = self._context.store.get(
            REPLICA_SETS, namespace_of(replica_set), name_of(replica_set)
        )
        if found is None or _replicas(found) == replicas:
            return
        before = _replicas(found)

        def change(new: JsonObject) -> None:
            new["spec"]["replicas"] = replicas

        self._context.modify(REPLICA_SETS, found, change)
        direction = "up" if replicas > before else "down"
        message = f"Scaled {direction} replica set {name_of(found)} from {before} to {replicas}"
        self._context.event(deployment, "ScalingReplicaSet", message, component=_COMPONENT)

    def _forget(self, deployment: JsonObject, olds: list[JsonObject]) -> None:
        limit = dig(deployment, "spec", "revisionHistoryLimit")
        if limit is None:
            return
        idle = [rs for rs in olds if not _replicas(rs) and not _status(rs, "replicas")]
        idle.sort(key=_revision)
        for old in idle[: max(0, len(idle) - limit)]:
            self._context.delete(REPLICA_SETS, old)

    def _report(self, key: Key) -> None:
        found = self._context.store.get(key.place, key.namespace, key.name)
        if found is None:
            return
        owned = self._context.owned(REPLICA_SETS, found)
        newest = self._newest(found, owned)
        wanted = _replicas(found)
        total = sum(_status(rs, "replicas") for rs in owned)
        ready = sum(_status(rs, "readyReplicas") for rs in owned)
        available = sum(_status(rs, "availableReplicas") for rs in owned)
        status: JsonObject = {
            "observedGeneration": found["metadata"].get("generation", 0),
            "replicas": total,
            "updatedReplicas": _status(newest, "replicas") if newest else 0,
            "readyReplicas": ready,
            "availableReplicas": available,
            "unavailableReplicas": max(0, wanted - available),
            "terminatingReplicas": sum(_status(rs, "terminatingReplicas") for rs in owned),
        }
        keep = {"observedGeneration", "terminatingReplicas"}
        status = {name: value for name, value in status.items() if value or name in keep}
        status["conditions"] = self._conditions(found, newest, status)
        self._context.set_status(DEPLOYMENTS, found, status)

    def _conditions(
        self, deployment: JsonObject, newest: JsonObject | None, status: JsonObject
    ) -> list[JsonObject]:
        wanted = _replicas(deployment)
        _, unavailable = limits(deployment)
        up = status.get("availableReplicas", 0) >= wanted - unavailable
        made = [
            (
                "Available",
                up,
                "MinimumReplicasAvailable" if up else "MinimumReplicasUnavailable",
                f"Deployment {'has' if up else 'does not have'} minimum availability.",
            )
        ]
        if newest is not None:
            done = (
                status.get("updatedReplicas", 0) == wanted
                and status.get("availableReplicas", 0) == wanted
                and status.get("replicas", 0) == wanted
            )
            reason = "NewReplicaSetAvailable" if done else "ReplicaSetUpdated"
            verb = "has successfully progressed" if done else "is progressing"
            text = f'ReplicaSet "{name_of(newest)}" {verb}.'
            made.append(("Progressing", True, reason, text))
        held = {c["type"]: c for c in dig(deployment, "status", "conditions") or ()}
        return [
            self._condition(held.get(kind), kind, truth, reason, text)
            for kind, truth, reason, text in made
        ]

    def _condition(
        self, held: JsonObject | None, kind: str, truth: object, reason: str, message: str
    ) -> JsonObject:
        state = "True" if truth else "False"
        if held and (held["status"], held["reason"], held["message"]) == (state, reason, message):
            return held
        now = self._context.now_text()
        changed = held["lastTransitionTime"] if held and held["status"] == state else now
        return {
            "type": kind,
            "status": state,
            "lastUpdateTime": now,
            "lastTransitionTime": changed,
            "reason": reason,
            "message": message,
        }
