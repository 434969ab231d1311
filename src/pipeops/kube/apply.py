"""Server-side apply of a named set of objects, and pruning of what the set no longer has."""

import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec

from pipeops.kube.client import KubeClient
from pipeops.kube.errors import Conflict, KubeAnswerError, NotFound
from pipeops.kube.listing import Meta, pages

APPLY: Final = "application/apply-patch+yaml"
MANAGER: Final = "pipeops-agent"
#: Which set an object belongs to; pruning looks at nothing else.
SET_LABEL: Final = "agent.pipeops.io/set"

Object = Mapping[str, Any]


class Kind(msgspec.Struct, frozen=True, order=True):
    """A kind by its apiVersion (`apps/v1`) and name (`Deployment`)."""

    api_version: str
    name: str


class _Resource(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool


class _Resources(msgspec.Struct):
    resources: list[_Resource] = msgspec.field(default_factory=list)


class _Item(msgspec.Struct, gc=False):
    metadata: Meta = msgspec.field(default_factory=Meta)


class Applied(msgspec.Struct, gc=False):
    """What the API server made of an applied object."""

    metadata: Meta = msgspec.field(default_factory=Meta)


class Applier:
    """Applies objects as one field manager.

    Others' fields stay theirs: a field that another manager has set to another value is a `Conflict`,
    unless `force` takes it over.
    """

    def __init__(
        self, client: KubeClient, *, rng: random.Random, manager: str = MANAGER, force: bool = False
    ) -> None:
        """`manager` names us in managedFields; it must stay the same for ever, or old fields are orphaned."""
        self._client = client
        self._rng = rng
        self._manager = manager
        self._force = force
        self._resources: dict[str, dict[str, _Resource]] = {}

    async def apply(self, body: Object, *, namespace: str = "default") -> Applied:
        """Create an object, or change it to what `body` says of it; `namespace` where it names none.

        Raises:
            Conflict: another manager owns a field; the message names both.
            KubeAnswerError: the API server does not know its kind.
            KubeError: anything else.
        """
        return await self._client.patch(
            f"{await self._path(body, namespace)}?fieldManager={self._manager}"
            f"&force={str(self._force).lower()}",
            body,
            Applied,
            content_type=APPLY,
        )

    async def apply_set(
        self,
        name: str,
        objects: Sequence[Object],
        *,
        kinds: Iterable[Kind] = (),
        namespace: str = "default",
    ) -> int:
        """Apply a set of objects in order, then delete what carries its label and is not in it.

        Nothing is deleted unless everything was applied. `kinds` are those which earlier versions of the set
        may have had besides today's; namespaced ones are looked for in `namespace` and in the objects' own.

        Returns:
            How many objects were deleted.

        Raises:
            KubeError: as `apply`; the rest of the set is then left alone.
        """
        kept: set[str] = set()
        places: set[str] = {namespace}
        pruned = set(kinds)
        for body in objects:
            labelled = _labelled(body, name)
            places.add(labelled["metadata"].get("namespace") or namespace)
            pruned.add(Kind(str(body["apiVersion"]), str(body["kind"])))
            kept.add((await self.apply(labelled, namespace=namespace)).metadata.uid)
        deleted = 0
        for kind in sorted(pruned):
            deleted += await self._prune(kind, name, kept, sorted(places))
        return deleted

    async def _prune(self, kind: Kind, name: str, kept: set[str], namespaces: list[str]) -> int:
        resource = await self._resource(kind)
        if resource is None:
            return 0  # a kind that is no longer served has no objects
        deleted = 0
        for namespace in namespaces if resource.namespaced else [""]:
            collection = _collection(kind.api_version, resource, namespace)
            stale: list[_Item] = []
            listed = pages(
                self._client, collection, _Item, selector=f"{SET_LABEL}={name}", rng=self._rng
            )
            async with aclosing(listed):
                async for first, page in listed:
                    stale = [] if first else stale
                    stale += [item for item in page.items or [] if item.metadata.uid not in kept]
            for item in stale:
                deleted += await self._delete(collection, item.metadata)
        return deleted

    async def _delete(self, collection: str, meta: Meta) -> bool:
        # The uid: an object that was made anew under the same name is not the one we have seen.
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": meta.uid},
        }
        try:
            await self._client.delete(f"{collection}/{meta.name}", options)
        except (NotFound, Conflict):
            return False
        return True

    async def _path(self, body: Object, namespace: str) -> str:
        kind = Kind(str(body["apiVersion"]), str(body["kind"]))
        resource = await self._resource(kind)
        if resource is None:
            raise KubeAnswerError(f"the API server has no {kind.name} of {kind.api_version}")
        place = body["metadata"].get("namespace") or namespace
        collection = _collection(kind.api_version, resource, place)
        return f"{collection}/{body['metadata']['name']}"

    async def _resource(self, kind: Kind) -> _Resource | None:
        """Look a kind up by discovery; a version's answer is kept while it has what is asked for."""
        known = self._resources.get(kind.api_version, {})
        if kind.name not in known:
            try:
                found = await self._client.get(_root(kind.api_version), _Resources)
            except NotFound:
                return None
            known = {each.kind: each for each in found.resources if "/" not in each.name}
            self._resources[kind.api_version] = known
        return known.get(kind.name)


def _labelled(body: Object, name: str) -> dict[str, Any]:
    metadata = dict(body["metadata"])
    metadata["labels"] = {**(metadata.get("labels") or {}), SET_LABEL: name}
    return {**body, "metadata": metadata}


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _collection(api_version: str, resource: _Resource, namespace: str) -> str:
    within = f"/namespaces/{namespace}" if resource.namespaced else ""
    return f"{_root(api_version)}{within}/{resource.name}"
