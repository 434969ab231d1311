"""What the simulator keeps for each pod while it exists: its files, and whether it has gone."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import JsonObject, dig, name_of, namespace_of, uid_of
from pipeops.sim.pods.files import CLUSTER_LIMIT, POD_LIMIT, File, Files, Quota
from pipeops.sim.pods.programs.table import PROGRAMS
from pipeops.sim.storage import Change

PODS = GroupResource("", "pods")
ANNOTATION = "test.pipeops.io/"
"""Prefix of the annotations by which tests shape a pod: log-history, log-interval, log-width, ports."""
FINISHED = frozenset({"Succeeded", "Failed"})
FOLDERS = (
    "bin",
    "dev",
    "etc",
    "home",
    "proc",
    "root",
    "run",
    "tmp",
    "usr/bin",
    "usr/share",
    "var/log",
)


class PodInstance:
    """One pod's insides. `over` is set when the pod is deleted or has run to its end."""

    def __init__(self, pod: JsonObject, now: Callable[[], float], quota: Quota) -> None:
        self.uid = uid_of(pod)
        self.namespace, self.name = namespace_of(pod), name_of(pod)
        self.over = asyncio.Event()
        self.files = Files(now, quota)
        self._furnish(pod)

    def _furnish(self, pod: JsonObject) -> None:
        files = self.files
        for folder in FOLDERS:
            files.make_folder(f"/{folder}", parents=True)
        for kind in ("null", "zero", "urandom"):
            files.add_device(f"/dev/{kind}", kind)
        address = dig(pod, "status", "podIP") or "127.0.0.1"
        account = "/var/run/secrets/kubernetes.io/serviceaccount"
        contents = {
            "/etc/hostname": f"{self.name}\n",
            "/etc/hosts": f"127.0.0.1\tlocalhost\n{address}\t{self.name}\n",
            "/etc/os-release": 'NAME="Simulated Linux"\nID=simulated\nVERSION_ID=1\n',
            "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
            "/etc/resolv.conf": f"search {self.namespace}.svc.cluster.local\nnameserver 10.96.0.10\n",
            f"{account}/namespace": self.namespace,
        }
        for name in PROGRAMS:
            contents[f"/bin/{name}"] = "simulated\n"
        for path, text in contents.items():
            files.make_folder(path.rpartition("/")[0] or "/", parents=True)
            file = files.create(path, mode=0o755 if path.startswith("/bin/") else 0o644)
            if isinstance(file, File):
                files.append(file, text.encode())


class PodInstances:
    """The insides of every pod that somebody looked into, by uid; they go with their pods."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._quota = Quota(CLUSTER_LIMIT)
        self._by_uid: dict[str, PodInstance] = {}
        cluster.store.listeners.append(self._noted)

    def __len__(self) -> int:
        return len(self._by_uid)

    def of(self, pod: JsonObject) -> PodInstance:
        """A stored pod's insides; OSError ENOSPC when all pods together have no space left."""
        found = self._by_uid.get(uid_of(pod))
        if found is None:
            quota = Quota(POD_LIMIT, self._quota)
            found = PodInstance(pod, self._cluster.clock.now, quota)
            self._by_uid[found.uid] = found
            if dig(pod, "status", "phase") in FINISHED:
                found.over.set()
        return found

    def _noted(self, place: GroupResource, change: Change) -> None:
        if place != PODS:
            return
        instance = self._by_uid.get(uid_of(change.object))
        if instance is None:
            return
        if change.kind == "DELETED":
            del self._by_uid[instance.uid]
            instance.files.quota.release()
            instance.over.set()
        elif dig(change.object, "status", "phase") in FINISHED:
            instance.over.set()


async def until(over: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run `work`, but not beyond the end of its pod."""
    failure: ConnectionError | None = None

    async def run() -> None:
        # A refusal must not reach the task group, which would wrap it.
        nonlocal failure
        try:
            await work
        except ConnectionError as error:
            failure = error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run()), group.create_task(_set(over))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    if failure is not None:
        raise failure


async def _set(over: asyncio.Event) -> None:
    await over.wait()
