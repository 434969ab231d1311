"""The pod subresources log, exec and attach of the API server."""

from collections.abc import AsyncGenerator

from pipeops.sim.access.rbac import Attributes
from pipeops.sim.access.users import User
from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.errors import ApiError, bad_request, invalid, method_not_allowed, not_found
from pipeops.sim.http import Answer, Request, Streaming
from pipeops.sim.objects import JsonObject, dig, parse_timestamp
from pipeops.sim.pods import network
from pipeops.sim.pods.ending import container_ended
from pipeops.sim.pods.instances import FINISHED, PODS, PodInstances, until
from pipeops.sim.pods.logs import ContainerLog, LogQuery, read_log
from pipeops.sim.pods.session import Session, exited, not_started, succeeded
from pipeops.sim.router import RequestInfo
from pipeops.sim.streaming import portforward
from pipeops.sim.streaming.pipes import Sink, Source
from pipeops.sim.streaming.remotecommand import Streams, Wanted, upgrade
from pipeops.sim.streaming.websocket import is_websocket

SUBRESOURCES = frozenset({"log", "exec", "attach", "portforward"})
CONNECTING = frozenset({"exec", "attach", "portforward"})


class PodSubresources:
    """Answers requests for what is inside pods."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self.instances = PodInstances(cluster)

    @staticmethod
    def serves(info: RequestInfo) -> bool:
        """Whether a request is for one of them."""
        is_pod = info.plural == "pods" and not info.group and bool(info.name)
        return is_pod and info.subresource in SUBRESOURCES and not info.rest

    def answer(self, request: Request, info: RequestInfo, user: User) -> Answer:
        """Answer one request; ApiError for a refusal."""
        methods = {"GET", "POST"} if info.subresource in CONNECTING else {"GET"}
        if request.method not in methods:
            raise method_not_allowed(request.method)
        if info.subresource in CONNECTING and is_websocket(request):
            # A WebSocket can only begin with GET, but needs the right that POST needs.
            self._cluster.authorizer.require(
                user,
                Attributes("create", "", "pods", info.subresource, info.namespace, info.name),
            )
        pod = self._cluster.store.get(PODS, info.namespace, info.name)
        if pod is None:
            raise not_found("", "pods", info.name)
        match info.subresource:
            case "log":
                return self._log(request, pod)
            case "exec":
                return self._exec(request, pod)
            case "attach":
                return self._attach(request, pod)
            case _:
                return self._forward(request, pod)

    def _log(self, request: Request, pod: JsonObject) -> Answer:
        query = log_query(request, self._cluster.clock.now())
        container = container_of(pod, request.param("container"))
        if not dig(pod, "spec", "nodeName"):
            return Streaming(_nothing(), "text/plain")
        check_log(pod, container["name"], previous=query.previous)
        log = ContainerLog(pod, container)
        lines = read_log(self.instances.of(pod), log, query, self._cluster.clock.now())
        return Streaming(lines, "text/plain")

    def _exec(self, request: Request, pod: JsonObject) -> Answer:
        container = connectable(pod, request, "exec into")
        wanted = Wanted.of(request)
        argv = request.query.get("command", [])
        if not argv:
            raise bad_request("you must specify at least one command for the container")
        instance = self.instances.of(pod)

        async def serve(streams: Streams) -> JsonObject:
            try:
                session = Session(instance, container, argv, streams, tty=wanted.tty)
                return exited(argv, await session.run())
            except (FileNotFoundError, PermissionError) as error:
                return not_started(instance, argv, error)

        return upgrade(request, wanted, serve)

    def _attach(self, request: Request, pod: JsonObject) -> Answer:
        container = connectable(pod, request, "attach to")
        wanted = Wanted.of(request)
        instance = self.instances.of(pod)
        argv = [*(container.get("command") or ()), *(container.get("args") or ())] or ["sh"]

        async def serve(streams: Streams) -> JsonObject:
            if not wanted.stdin:
                log = ContainerLog(pod, container)
                query = LogQuery(follow=True, tail=0)
                output = streams.stdout or streams.stderr
                async for data in read_log(instance, log, query, self._cluster.clock.now()):
                    if output is not None:
                        await output.write(data)
                return succeeded()
            try:
                session = Session(instance, container, argv, streams, tty=wanted.tty)
                code = await session.run()
            except (FileNotFoundError, PermissionError) as error:
                return not_started(instance, argv, error)
            container_ended(self._cluster, pod, container["name"], code)
            return exited(argv, code)

        return upgrade(request, wanted, serve)

    def _forward(self, request: Request, pod: JsonObject) -> Answer:
        name = pod["metadata"]["name"]
        if not dig(pod, "spec", "nodeName"):
            raise bad_request(f"pod {name} does not have a host assigned")
        phase = dig(pod, "status", "phase")
        if phase != "Running":
            raise bad_request(
                f"unable to forward port because pod is not running. Current status={phase}"
            )
        instance = self.instances.of(pod)

        async def dial(port: int, source: Source, sink: Sink) -> None:
            """Ends with the pod, as a real connection would."""
            connection = network.connect(pod, port, source, sink)
            await until(instance.over, connection)

        return portforward.upgrade(request, dial)


async def _nothing() -> AsyncGenerator[bytes, None]:
    yield b""


def container_of(pod: JsonObject, name: str) -> JsonObject:
    """The container a request is about; 400 in the API server's words when that is not clear."""
    spec, pod_name = pod["spec"], pod["metadata"]["name"]
    kinds = ("containers", "initContainers", "ephemeralContainers")
    containers, initial, ephemeral = (spec.get(kind) or [] for kind in kinds)
    if name:
        for container in [*containers, *initial, *ephemeral]:
            if container["name"] == name:
                return dict(container)
        raise bad_request(f"container {name} is not valid for pod {pod_name}")
    if len(containers) == 1:
        return dict(containers[0])
    text = f"a container name must be specified for pod {pod_name}"
    if containers:
        text += f", choose one of: [{' '.join(each['name'] for each in containers)}]"
        if initial:
            names = " ".join(each["name"] for each in initial)
            text += f" or one of the init containers: [{names}]"
    raise bad_request(text)


def connectable(pod: JsonObject, request: Request, what: str) -> JsonObject:
    """The container to connect to; 400 when its pod does not run."""
    phase = dig(pod, "status", "phase")
    if phase in FINISHED:
        raise bad_request(f"cannot {what} a container in a completed pod; current phase is {phase}")
    container = container_of(pod, request.param("container"))
    name = pod["metadata"]["name"]
    if not dig(pod, "spec", "nodeName"):
        raise bad_request(f"pod {name} does not have a host assigned")
    if phase == "Pending":
        message = f'unable to upgrade connection: container not found ("{container["name"]}")'
        raise ApiError(500, "InternalError", message)
    return container


def log_query(request: Request, now: float) -> LogQuery:
    """The options of a log request; 422 as the API server validates them, 400 for no numbers."""
    causes: list[tuple[str, str, str]] = []
    numbers: dict[str, int | None] = {}
    for name, least in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        numbers[name] = value = _number(request, name)
        if value is not None and value < least:
            must = "must be greater than or equal to 0" if least == 0 else "must be greater than 0"
            causes.append(("FieldValueInvalid", name, f"Invalid value: {value}: {must}"))
    seconds, moment = numbers["sinceSeconds"], request.param("sinceTime")
    since = None if seconds is None else now - seconds
    if moment and seconds is not None:
        text = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(("FieldValueForbidden", "", text))
    elif moment:
        try:
            since = parse_timestamp(moment)
        except ValueError:
            raise bad_request(f"invalid sinceTime: {moment!r}") from None
    if causes:
        raise invalid("", "PodLogOptions", "", causes)
    return LogQuery(
        follow=request.flag("follow"),
        tail=numbers["tailLines"],
        limit=numbers["limitBytes"],
        since=since,
        timestamps=request.flag("timestamps"),
        previous=request.flag("previous"),
    )


def _number(request: Request, name: str) -> int | None:
    text = request.param(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        message = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise bad_request(f"unable to decode {name}: {message}") from None


def check_log(pod: JsonObject, container: str, *, previous: bool) -> None:
    """400 when a container has no log yet, or no previous one."""
    name = pod["metadata"]["name"]
    statuses = dig(pod, "status", "containerStatuses") or ()
    status: JsonObject = next((each for each in statuses if each.get("name") == container), {})
    if previous and not dig(status, "lastState", "terminated"):
        text = f'previous terminated container "{container}" in pod "{name}" not found'
        raise bad_request(text)
    waiting = dig(status, "state", "waiting")
    if waiting is not None and not previous:
        reason = waiting.get("reason") or "ContainerCreating"
        raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
