"""get, list and watch: paging, resourceVersion rules, selectors and the forms of an answer."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from random import Random

from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.errors import ApiError, bad_request, expired, not_found, too_large_version
from pipeops.sim.http import Request, Response, Streaming
from pipeops.sim.kinds import Resource
from pipeops.sim.negotiation import Form, choose, encode
from pipeops.sim.objects import JsonObject, name_of, namespace_of
from pipeops.sim.options import DeleteOptions, check_list_options
from pipeops.sim.router import RequestInfo
from pipeops.sim.selectors import object_filter
from pipeops.sim.storage import Change, ChangeLog, Store
from pipeops.sim.tables.table import as_table, partial

OBJECT_FORMS = ("Table", "PartialObjectMetadata")
LIST_FORMS = ("Table", "PartialObjectMetadataList")
BOOKMARK_SECONDS = 60.0
MIN_WATCH_SECONDS = 1800
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_PAGE_LOST = (
    "The provided continue parameter is too old to display a consistent list result. You can "
    "start a new list without the continue parameter, or use the continue token in this response "
    "to retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)

Accept = Callable[[JsonObject], bool]


def at_version(resource: Resource, obj: JsonObject) -> JsonObject:
    """The stored object as this version of the API shows it (kinds convert by name only)."""
    if obj.get("apiVersion") == resource.group_version:
        return obj
    return {**obj, "apiVersion": resource.group_version, "kind": resource.kind}


def write_object(
    cluster: SimulatedCluster,
    request: Request,
    resource: Resource,
    obj: JsonObject,
    code: int = 200,
) -> Response:
    """One object in the form the client asked for."""
    form = choose(request.header("accept"), OBJECT_FORMS)
    shown = at_version(resource, obj)
    if form.convert == "Table":
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        now = cluster.clock.now()
        include = request.param("includeObject")
        shown = as_table(resource, [shown], meta, now=now, version=form.version, include=include)
    elif form.convert:
        shown = partial(shown, form.version)
    return Response(code, encode(shown, form), form.content_type)


def get(
    cluster: SimulatedCluster, request: Request, resource: Resource, info: RequestInfo
) -> Response:
    """GET of one object."""
    found = cluster.store.get(resource.storage, info.namespace, info.name)
    if found is None:
        raise not_found(resource.group, resource.plural, info.name)
    return write_object(cluster, request, resource, found)


def parse_version(text: str) -> int | None:
    """A resourceVersion parameter: None when unset; 400 when it is not a number."""
    if not text:
        return None
    if not text.isdigit():
        raise bad_request(
            f'invalid resource version: resourceVersion: Invalid value: "{text}": strconv.ParseUint: '
            f'parsing "{text}": invalid syntax'
        )
    return int(text)


@dataclass(frozen=True, slots=True)
class _Page:
    items: list[JsonObject]
    version: int
    next_token: str = ""
    remaining: int | None = None


def _page_token(version: int, start: tuple[str, str]) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": list(start)})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_page_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        read = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(read["rv"]), (str(read["start"][0]), str(read["start"][1]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise bad_request("continue key is not valid: illegal base64 or JSON") from error


def _lost_page(version: int, start: tuple[str, str]) -> ApiError:
    error = expired(_PAGE_LOST)
    error.status["metadata"] = {"continue": _page_token(version, start)}
    return error


def _page(
    cluster: SimulatedCluster, request: Request, resource: Resource, namespace: str, accept: Accept
) -> _Page:
    store, place = cluster.store, resource.storage
    version, start = store.version, ("", "")
    limit = int(request.param("limit") or 0) if request.param("limit").isdigit() else 0
    if token := request.param("continue"):
        version, start = _read_page_token(token)
        if version <= 0:
            version = store.version
        try:
            held = store.snapshot(place, version)
        except ApiError as error:
            raise _lost_page(0, start) from error
        keys = sorted(key for key in held if key > start and (not namespace or key[0] == namespace))
        candidates: Iterator[JsonObject] = (held[key] for key in keys)
    else:
        version = _list_version(cluster, request, resource)
        if version == store.version:
            candidates = iter(store.objects(place, namespace))
        else:
            held = store.snapshot(place, version)
            candidates = (held[k] for k in sorted(held) if not namespace or k[0] == namespace)
    items = [item for item in candidates if accept(item)]
    if not limit or len(items) <= limit:
        return _Page(items, version)
    kept = items[:limit]
    last = (namespace_of(kept[-1]), name_of(kept[-1]))
    selective = request.param("labelSelector") or request.param("fieldSelector")
    remaining = None if selective else len(items) - limit
    return _Page(kept, version, _page_token(version, last), remaining)


def _list_version(cluster: SimulatedCluster, request: Request, resource: Resource) -> int:
    wanted = parse_version(request.param("resourceVersion"))
    current = cluster.store.version
    if wanted is None or wanted == 0:
        return current
    if wanted > current:
        raise too_large_version(wanted, current)
    if request.param("resourceVersionMatch") != "Exact":
        return current
    cluster.store.snapshot(resource.storage, wanted)
    return wanted


def selection(request: Request, resource: Resource) -> Accept:
    """The request's label and field selectors as a predicate."""
    return object_filter(
        request.param("labelSelector"),
        request.param("fieldSelector"),
        resource.group,
        resource.plural,
    )


def list_objects(
    cluster: SimulatedCluster, request: Request, resource: Resource, info: RequestInfo
) -> Response:
    """GET of a collection."""
    form = choose(request.header("accept"), LIST_FORMS)
    check_list_options(request, watch=False)
    page = _page(cluster, request, resource, info.namespace, selection(request, resource))
    meta: JsonObject = {"resourceVersion": str(page.version)}
    if page.next_token or (resource.custom is not None and not form.convert):
        meta["continue"] = page.next_token
    if page.remaining is not None:
        meta["remainingItemCount"] = page.remaining
    if form.convert == "Table":
        include = request.param("includeObject")
        now = cluster.clock.now()
        shown = [at_version(resource, item) for item in page.items]
        body = as_table(resource, shown, meta, now=now, version=form.version, include=include)
    elif form.convert:
        body = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{form.version}",
            "metadata": meta,
            "items": [partial(item, form.version) for item in page.items],
        }
    else:
        body = {
            "kind": resource.list_kind,
            "apiVersion": resource.group_version,
            "metadata": meta,
            "items": [_list_item(resource, item) for item in page.items],
        }
    return Response(200, encode(body, form), form.content_type)


def delete_collection(
    cluster: SimulatedCluster,
    request: Request,
    resource: Resource,
    info: RequestInfo,
    options: DeleteOptions,
) -> Response:
    """DELETE of a collection: answers with the list of what was deleted."""
    form = choose(request.header("accept"), LIST_FORMS)
    page = _page(cluster, request, resource, info.namespace, selection(request, resource))
    items = [cluster.deleter.delete(resource, item, options).object for item in page.items]
    body = {
        "kind": resource.list_kind,
        "apiVersion": resource.group_version,
        "metadata": {"resourceVersion": str(page.version)},
        "items": [_list_item(resource, item) for item in items],
    }
    return Response(200, encode(body, Form(form.yaml)), form.content_type)


def _list_item(resource: Resource, obj: JsonObject) -> JsonObject:
    # Built-in lists leave apiVersion and kind out of their items; custom ones repeat them.
    if resource.custom is not None:
        return at_version(resource, obj)
    return {key: value for key, value in obj.items() if key not in {"apiVersion", "kind"}}


class _EventWriter:
    """Turns changes into the lines of one watch, in the form it asked for."""

    def __init__(
        self, cluster: SimulatedCluster, request: Request, resource: Resource, accept: Accept
    ) -> None:
        self._cluster = cluster
        self._resource = resource
        self._accept = accept
        self._form = choose(request.header("accept"), OBJECT_FORMS)
        self._include = request.param("includeObject")
        self._headers = True
        if self._form.yaml:
            self._form = Form()

    def error(self, error: ApiError) -> bytes:
        return encode({"type": "ERROR", "object": error.status}, self._form)

    def line(self, kind: str, obj: JsonObject) -> bytes:
        """One event line."""
        shown = at_version(self._resource, obj)
        if self._form.convert == "Table":
            shown = as_table(
                self._resource,
                [shown],
                {"resourceVersion": obj["metadata"]["resourceVersion"]},
                now=self._cluster.clock.now(),
                version=self._form.version,
                include=self._include,
                headers=self._headers,
            )
            self._headers = False
        elif self._form.convert:
            shown = partial(shown, self._form.version)
        return encode({"type": kind, "object": shown}, self._form)

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        meta: JsonObject = {"resourceVersion": str(version)}
        if initial_end:
            meta["annotations"] = {INITIAL_EVENTS_END: "true"}
        blank = {
            "kind": self._resource.kind,
            "apiVersion": self._resource.group_version,
            "metadata": meta,
        }
        if self._form.convert == "Table":
            table = as_table(self._resource, [], {"resourceVersion": str(version)}, now=0)
            table["columnDefinitions"] = None
            if initial_end:
                table["rows"] = [{"cells": [], "object": partial(blank)}]
            blank = table
        elif self._form.convert:
            blank = partial(blank, self._form.version)
        return encode({"type": "BOOKMARK", "object": blank}, self._form)

    def change(self, change: Change, namespace: str) -> bytes | None:
        """The line for a change, or None when the watch does not see it."""
        if namespace and namespace_of(change.object) != namespace:
            return None
        now_seen = change.kind != "DELETED" and self._accept(change.object)
        was_seen = change.previous is not None and self._accept(change.previous)
        if now_seen:
            return self.line("MODIFIED" if was_seen else "ADDED", change.object)
        if not was_seen or change.previous is None:
            return None
        if change.kind == "DELETED":
            return self.line("DELETED", change.object)
        # It left the selection: the last state that was in it, under the new version.
        last = {**change.previous, "metadata": {**change.previous["metadata"]}}
        last["metadata"]["resourceVersion"] = str(change.version)
        return self.line("DELETED", last)


def watch(
    cluster: SimulatedCluster, request: Request, resource: Resource, info: RequestInfo
) -> Streaming:
    """GET with watch=true: lines until the timeout, the client's leaving, or lost history."""
    check_list_options(request, watch=True)
    try:
        start = parse_version(request.param("resourceVersion"))
    except ApiError as error:
        message = str(error).removeprefix("invalid resource version: ")
        raise ApiError(500, "", message) from error
    accept = selection(request, resource)
    writer = _EventWriter(cluster, request, resource, accept)
    if start is not None and start > cluster.store.version:
        raise too_large_version(start, cluster.store.version)
    asked = request.param("timeoutSeconds")
    jitter = Random(cluster.store.version).uniform(1, 2)  # noqa: S311 - spreads reconnects
    seconds = float(asked) if asked.isdigit() and asked != "0" else MIN_WATCH_SECONDS * jitter
    plan = _WatchPlan(
        namespace=info.namespace,
        start=start or 0,
        seconds=seconds,
        bookmarks=request.flag("allowWatchBookmarks"),
        initial=not start or request.flag("sendInitialEvents"),
        initial_end=request.flag("sendInitialEvents"),
    )
    if request.query.get("sendInitialEvents") == ["false"]:
        plan = _WatchPlan(
            info.namespace, plan.start, seconds, plan.bookmarks, initial=not plan.start
        )
    return Streaming(_lines(cluster, resource, accept, writer, plan))


@dataclass(frozen=True, slots=True)
class _WatchPlan:
    namespace: str
    start: int
    seconds: float
    bookmarks: bool
    initial: bool
    initial_end: bool = False


async def _lines(
    cluster: SimulatedCluster,
    resource: Resource,
    accept: Accept,
    writer: _EventWriter,
    plan: _WatchPlan,
) -> AsyncGenerator[bytes, None]:
    store, log = cluster.store, cluster.store.log(resource.storage)
    loop = asyncio.get_running_loop()
    end = loop.time() + plan.seconds
    next_bookmark = loop.time() + BOOKMARK_SECONDS
    version = plan.start
    if plan.initial:
        version = store.version
        for first in _initial(store, resource, accept, writer, plan):
            yield first
    while True:
        try:
            changes = log.after(version)
        except ApiError as error:
            yield writer.error(error)
            return
        for change in changes:
            version = change.version
            line = writer.change(change, plan.namespace)
            if line is not None:
                yield line
        if changes or await _changed(log, min(end, next_bookmark) if plan.bookmarks else end):
            continue
        if plan.bookmarks:
            version = max(version, store.version)
            next_bookmark = loop.time() + BOOKMARK_SECONDS
            yield writer.bookmark(version)
        if loop.time() >= end:
            return


async def _changed(log: ChangeLog, deadline: float) -> bool:
    try:
        async with asyncio.timeout_at(deadline):
            await log.wait()
    except TimeoutError:
        return False
    return True


def _initial(
    store: Store, resource: Resource, accept: Accept, writer: _EventWriter, plan: _WatchPlan
) -> Iterator[bytes]:
    version = store.version
    for obj in store.objects(resource.storage, plan.namespace):
        if accept(obj):
            yield writer.line("ADDED", obj)
    if plan.initial_end and plan.bookmarks:
        yield writer.bookmark(version, initial_end=True)
