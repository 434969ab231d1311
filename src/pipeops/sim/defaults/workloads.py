"""Defaults of Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs."""

from pipeops.sim.defaults.pods import fill, pod_spec, template
from pipeops.sim.objects import JsonObject, metadata

HISTORY = 10


def deployment(obj: JsonObject) -> None:
    """apps/v1 Deployment."""
    template(obj)
    spec = obj["spec"]
    fill(spec, replicas=1, revisionHistoryLimit=HISTORY, progressDeadlineSeconds=600, strategy={})
    fill(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        fill(spec["strategy"], rollingUpdate={})
        fill(spec["strategy"]["rollingUpdate"], maxSurge="25%", maxUnavailable="25%")


def replica_set(obj: JsonObject) -> None:
    """apps/v1 ReplicaSet."""
    template(obj)
    fill(obj["spec"], replicas=1)


def replication_controller(obj: JsonObject) -> None:
    """v1 ReplicationController: selector and labels come from the template."""
    template(obj)
    spec = obj["spec"]
    fill(spec, replicas=1)
    labels = (spec["template"].get("metadata") or {}).get("labels")
    if labels:
        fill(spec, selector=dict(labels))
        fill(metadata(obj), labels=dict(labels))


def stateful_set(obj: JsonObject) -> None:
    """apps/v1 StatefulSet."""
    template(obj)
    spec = obj["spec"]
    fill(
        spec,
        replicas=1,
        revisionHistoryLimit=HISTORY,
        podManagementPolicy="OrderedReady",
        updateStrategy={},
        persistentVolumeClaimRetentionPolicy={},
    )
    fill(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
    fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        fill(spec["updateStrategy"], rollingUpdate={})
        fill(spec["updateStrategy"]["rollingUpdate"], partition=0)
    for claim in spec.get("volumeClaimTemplates") or ():
        fill(claim, apiVersion="v1", kind="PersistentVolumeClaim")
        fill(claim.setdefault("spec", {}), volumeMode="Filesystem")
        fill(claim, status={"phase": "Pending"})


def daemon_set(obj: JsonObject) -> None:
    """apps/v1 DaemonSet."""
    template(obj)
    notes = metadata(obj).setdefault("annotations", {})
    notes.setdefault("deprecated.daemonset.template.generation", "1")
    spec = obj["spec"]
    fill(spec, revisionHistoryLimit=HISTORY, updateStrategy={})
    fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        fill(spec["updateStrategy"], rollingUpdate={})
        fill(spec["updateStrategy"]["rollingUpdate"], maxSurge=0, maxUnavailable=1)


def job_spec(spec: JsonObject) -> None:
    """The spec of a Job, also inside a CronJob."""
    pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    fill(
        spec,
        parallelism=1,
        backoffLimit=6,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy="TerminatingOrFailed",
        manualSelector=False,
    )


def job(obj: JsonObject) -> None:
    """batch/v1 Job."""
    job_spec(obj.setdefault("spec", {}))


def cron_job(obj: JsonObject) -> None:
    """batch/v1 CronJob."""
    spec = obj.setdefault("spec", {})
    fill(
        spec,
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    )
    template = spec.setdefault("jobTemplate", {})
    fill(template, metadata={})
    inner = template.setdefault("spec", {})
    fill(inner.setdefault("template", {}), metadata={})
    pod_spec(inner.setdefault("template", {}).setdefault("spec", {}))
