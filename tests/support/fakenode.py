"""Stub nodes as a process: registers Nodes, takes and runs their pods by way of `kubelet`, reports their status.

    python -m tests.support.fakenode --server URL --ca FILE --certificate FILE --key FILE … NODE [NODE…]

Every second node declares that its kubelet takes WebSockets, so that both ways through an API server are there.

Annotations of a pod (prefix `test.pipeops.io/`) change what it does: `phase` (Pending, Running, Succeeded or Failed),
`ready` (`false` keeps it unready), `pod-ip` (an address that really listens, for the API server's proxy), `ports`,
`log-history`, `log-interval`, `log-width` (see `containers`).
"""

import argparse
import asyncio
import datetime as dt
import http.client
import itertools
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from tests.support.certificates import KeyPair
from tests.support.containers import Pod
from tests.support.kubeapi import KubeApi, KubeApiError
from tests.support.kubelet import Kubelet

HEARTBEAT = 10.0
# Since 1.36 a node may say that it takes WebSockets itself; otherwise the API server translates them to SPDY.
WEBSOCKET_FEATURE = "ExtendWebSocketsToKubelet"
READY = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "PodScheduled")


def stamp(*, micro: bool = False) -> str:
    now = dt.datetime.now(dt.UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


class NodeStatus:
    """Keeps Nodes and their leases fresh. Blocking; runs in a thread of its own."""

    def __init__(self, api: KubeApi, names: list[str], kubelet_port: int) -> None:
        self._api = api
        self._names = names
        self._port = kubelet_port
        self._version = "v0.0.0"

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._version = self._api.get("/version")["gitVersion"]
                for number, name in enumerate(self._names):
                    self._node(number, name)
                    self._lease(name)
            except (OSError, http.client.HTTPException, KubeApiError) as error:
                complain("heartbeat", error)
                stop.wait(0.5)
            else:
                stop.wait(HEARTBEAT)

    def _node(self, number: int, name: str) -> None:
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "topology.kubernetes.io/region": "test-region",
            "topology.kubernetes.io/zone": f"test-zone-{number % 3 + 1}",
        }
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        try:
            self._api.get(f"/api/v1/nodes/{name}")
        except KubeApiError as error:
            if error.status != 404:
                raise
            self._api.post("/api/v1/nodes", node)
        status = self._status(name)
        if number % 2 == 1:
            status["declaredFeatures"] = [WEBSOCKET_FEATURE]
        self._api.merge(f"/api/v1/nodes/{name}/status", {"status": status})

    def _status(self, name: str) -> dict[str, Any]:
        capacity = {"cpu": "8", "memory": "32Gi", "pods": "250", "ephemeral-storage": "100Gi"}
        now = stamp()
        return {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": name,
                "containerRuntimeVersion": "stub://1",
                "kernelVersion": "0",
                "kubeProxyVersion": "",
                "kubeletVersion": self._version,
                "machineID": name,
                "operatingSystem": "linux",
                "osImage": "stub",
                "systemUUID": name,
            },
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "StubReady",
                    "message": "a stub is always ready",
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": now,
                }
            ],
        }

    def _lease(self, name: str) -> None:
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": 40,
                "renewTime": stamp(micro=True),
            },
        }
        self._api.apply(f"{path}/{name}", lease, manager="stub-node")


class PodStatus:
    """Watches all pods; places, starts and removes those of its nodes. Blocking; runs in a thread of its own.

    The pod table is changed in the event loop only, by way of `call_soon_threadsafe`.
    """

    def __init__(
        self,
        api: KubeApi,
        names: list[str],
        *,
        directory: Path,
        schedule: bool,
        pods: dict[tuple[str, str], Pod],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._api = api
        self._names = names
        self._next_node = itertools.cycle(names)
        self._addresses = itertools.count(2)
        self._directory = directory
        self._schedule = schedule
        self._pods = pods
        self._loop = loop
        self._known: dict[str, tuple[str, str]] = {}

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._list_and_watch(stop)
            except (OSError, http.client.HTTPException, KubeApiError, ValueError) as error:
                complain("pods", error)
                stop.wait(0.3)

    def finished(self, pod: Pod, container: str, code: int) -> None:
        """A main process ended: a pod that must not restart is over (blocking)."""
        spec = pod.manifest["spec"]
        if spec.get("restartPolicy", "Always") == "Always":
            return
        ended = {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": stamp(),
            "finishedAt": stamp(),
        }
        statuses = [
            self._container(each, pod.manifest, {"terminated": ended}, ready=False)
            for each in spec["containers"]
        ]
        status = {
            "phase": "Succeeded" if code == 0 else "Failed",
            "containerStatuses": statuses,
            "conditions": _conditions("False"),
        }
        self._attempt(lambda: self._api.merge(_path(pod.manifest) + "/status", {"status": status}))

    def _list_and_watch(self, stop: threading.Event) -> None:
        listed = self._api.get("/api/v1/pods")
        present = {pod["metadata"]["uid"] for pod in listed["items"]}
        for uid in self._known.keys() - present:
            self._forget(uid)
        for pod in listed["items"]:
            self._changed(pod)
        version = listed["metadata"]["resourceVersion"]
        for event in self._api.watch("/api/v1/pods", timeout=300, resourceVersion=version):
            if stop.is_set():
                return
            if event["type"] == "ERROR":
                raise ValueError(f"watch ended: {event['object'].get('message')}")
            if event["type"] == "DELETED":
                self._forget(event["object"]["metadata"]["uid"])
            else:
                self._changed(event["object"])

    def _changed(self, pod: dict[str, Any]) -> None:
        node = pod["spec"].get("nodeName")
        if node is None:
            if self._schedule and not pod["spec"].get("schedulingGates"):
                self._attempt(lambda: self._bind(pod))
        elif node not in self._names:
            return
        elif "deletionTimestamp" in pod["metadata"]:
            self._attempt(lambda: self._delete(pod))
        elif pod["metadata"]["uid"] not in self._known:
            self._attempt(lambda: self._start(pod))

    def _attempt(self, step: Any) -> None:
        """The object may have changed or gone since the event: its next event will tell."""
        try:
            step()
        except KubeApiError as error:
            if error.status not in {404, 409}:
                complain("pod", error)

    def _bind(self, pod: dict[str, Any]) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": next(self._next_node)}
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]},
            "target": target,
        }
        self._api.post(_path(pod) + "/binding", binding)

    def _start(self, manifest: dict[str, Any]) -> None:
        uid = manifest["metadata"]["uid"]
        root = self._directory / uid
        root.mkdir(parents=True, exist_ok=True)
        pod = Pod(manifest, root)
        self._known[uid] = pod.key
        self._loop.call_soon_threadsafe(self._pods.__setitem__, pod.key, pod)
        phase = pod.annotation("phase", "Running")
        if phase == "Pending" or manifest["status"].get("phase") in {"Succeeded", "Failed"}:
            return
        self._api.merge(_path(manifest) + "/status", {"status": self._running(pod, phase)})

    def _running(self, pod: Pod, phase: str) -> dict[str, Any]:
        number = next(self._addresses)
        address = pod.annotation("pod-ip", f"10.244.{number // 250 % 250}.{number % 250 + 1}")
        ready = phase == "Running" and pod.annotation("ready", "true") == "true"
        now = stamp()
        state: dict[str, Any] = {"running": {"startedAt": now}}
        if phase in {"Succeeded", "Failed"}:
            code = 0 if phase == "Succeeded" else 1
            state = {"terminated": {"exitCode": code, "startedAt": now, "finishedAt": now}}
        return {
            "phase": phase,
            "startTime": now,
            "hostIP": "127.0.0.1",
            "hostIPs": [{"ip": "127.0.0.1"}],
            "podIP": address,
            "podIPs": [{"ip": address}],
            "containerStatuses": [
                self._container(each, pod.manifest, state, ready=ready)
                for each in pod.manifest["spec"]["containers"]
            ],
            "conditions": _conditions("True" if ready else "False"),
        }

    def _container(
        self, spec: dict[str, Any], pod: dict[str, Any], state: dict[str, Any], *, ready: bool
    ) -> dict[str, Any]:
        return {
            "name": spec["name"],
            "image": spec["image"],
            "imageID": f"stub://{spec['image']}",
            "containerID": f"stub://{pod['metadata']['uid']}-{spec['name']}",
            "ready": ready,
            "started": "running" in state,
            "restartCount": 0,
            "state": state,
        }

    def _delete(self, pod: dict[str, Any]) -> None:
        """A kubelet's last word on a pod, without waiting for the grace period: nothing here needs it."""
        uid = pod["metadata"]["uid"]
        self._forget(uid)
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": uid},
        }
        self._api.delete(_path(pod), options)

    def _forget(self, uid: str) -> None:
        key = self._known.pop(uid, None)
        if key is not None:
            self._loop.call_soon_threadsafe(self._remove, key, uid)

    def _remove(self, key: tuple[str, str], uid: str) -> None:
        pod = self._pods.get(key)
        if pod is not None and pod.manifest["metadata"]["uid"] == uid:
            del self._pods[key]
            pod.remove()


def _path(pod: dict[str, Any]) -> str:
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def _conditions(ready: str) -> list[dict[str, str]]:
    return [
        {
            "type": kind,
            "status": ready if kind in {"ContainersReady", "Ready"} else "True",
            "lastTransitionTime": stamp(),
        }
        for kind in READY
    ]


def complain(where: str, error: Exception) -> None:
    print(f"{where}: {error!r}", file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for option in ("ca", "certificate", "key", "kubelet-certificate", "kubelet-key", "directory"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--leave-scheduling", action="store_true", help="a scheduler runs")
    parser.add_argument("nodes", nargs="+")
    return parser.parse_args()


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    api = KubeApi(options.server, options.ca, client=KeyPair(options.certificate, options.key))
    pods: dict[tuple[str, str], Pod] = {}
    status = PodStatus(
        api,
        options.nodes,
        directory=options.directory,
        schedule=not options.leave_scheduling,
        pods=pods,
        loop=loop,
    )

    def finished(pod: Pod, container: str, code: int) -> None:
        threading.Thread(target=status.finished, args=(pod, container, code), daemon=True).start()

    kubelet = Kubelet(pods, finished)
    serving = KeyPair(options.kubelet_certificate, options.kubelet_key)
    server = await kubelet.serve(serving, options.ca)
    port = server.sockets[0].getsockname()[1]
    stop = threading.Event()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    # Daemons: a watch blocks in a read, and the process may end without it.
    for target in (NodeStatus(api, options.nodes, port).run, status.run):
        threading.Thread(target=target, args=(stop,), daemon=True).start()
    await ended.wait()
    stop.set()
    server.close()
    for pod in list(pods.values()):
        pod.remove()
    shutil.rmtree(options.directory, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(run(parse()))
