"""The conversations that both servers must answer alike. Each has a namespace of its own."""

from collections.abc import Callable

from tests.contract.transcript import Conversation

Case = Callable[[Conversation], None]
CASES: dict[str, Case] = {}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
MAPS = "/api/v1/namespaces/NS/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/NS/deployments"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


def case(function: Case) -> Case:
    """Register a conversation under its name."""
    CASES[function.__name__] = function
    return function


def config(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(name: str, **spec: object) -> dict:
    labels = {"app": name}
    container = {"name": "main", "image": "example/main", "ports": [{"containerPort": 80}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 0,
            "paused": True,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            **spec,
        },
    }


def pod(name: str, **spec: object) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "example/main:1"}], **spec},
    }


@case
def create_read_update_delete(c: Conversation) -> None:
    c.call("POST", MAPS, config("one", a="1"))
    c.call("POST", MAPS, config("one", a="1"))
    found = c.call("GET", f"{MAPS}/one")
    found["data"]["b"] = "2"
    c.call("PUT", f"{MAPS}/one", found)
    c.call("PUT", f"{MAPS}/one", found)
    c.call("PUT", f"{MAPS}/other", found)
    c.call("PUT", f"{MAPS}/none", config("none"))
    c.call("GET", f"{MAPS}/none")
    c.call("DELETE", f"{MAPS}/none")
    c.call("DELETE", f"{MAPS}/one")
    c.call("GET", f"{MAPS}/one")


@case
def unchanged_update_keeps_the_version(c: Conversation) -> None:
    made = c.call("POST", MAPS, config("one", a="1"))
    again = c.call("PUT", f"{MAPS}/one", config("one", a="1"))
    patched = c.call("PATCH", f"{MAPS}/one", {"data": {"a": "1"}}, kind=MERGE)
    versions = {each["metadata"]["resourceVersion"] for each in (made, again, patched)}
    c.steps.append({"request": "versions", "body": len(versions)})


@case
def generated_names_and_foreign_metadata(c: Conversation) -> None:
    body = config("", a="1")
    body["metadata"] = {
        "generateName": "gen-",
        "uid": "11111111-1111-1111-1111-111111111111",
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "finalizers": ["example.com/hold"],
    }
    made = c.call("POST", MAPS, body)
    body["metadata"]["resourceVersion"] = "5"
    c.call("POST", MAPS, body)
    name = made["metadata"]["name"]
    c.call("DELETE", f"{MAPS}/{name}", note=False)
    kept = c.call("GET", f"{MAPS}/{name}", note=False)
    c.steps.append({"request": "deleted?", "body": sorted(kept["metadata"])})
    c.call("PATCH", f"{MAPS}/{name}", {"metadata": {"finalizers": None}}, kind=MERGE, note=False)
    gone = c.call("GET", f"{MAPS}/{name}", note=False)
    c.steps.append({"request": "gone?", "body": gone["reason"]})


@case
def wrong_bodies(c: Conversation) -> None:
    c.call("POST", MAPS, b"{nonsense")
    c.call("POST", MAPS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}})
    c.call("POST", MAPS, {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "x"}})
    other = config("x")
    other["metadata"]["namespace"] = "elsewhere"
    c.call("POST", MAPS, other)
    c.call("POST", MAPS, config("x"), kind="text/html")
    c.call("POST", "/api/v1/namespaces/no-such-namespace/configmaps", config("x"))
    c.call("POST", f"{MAPS}/x", config("x"))


@case
def invalid_objects(c: Conversation) -> None:
    c.call("POST", MAPS, config("Not_Valid"))
    c.call("POST", MAPS, config(""))
    bad = config("labels")
    bad["metadata"]["labels"] = {"bad key": "bad value!"}
    c.call("POST", MAPS, bad)
    c.call("POST", DEPLOYMENTS, deployment("d", selector={"matchLabels": {"app": "other"}}))
    c.call("POST", DEPLOYMENTS, deployment("d", template={"spec": {"containers": []}}))
    c.call("POST", "/api/v1/namespaces/NS/pods", pod("p", containers=[]))
    c.call("POST", "/api/v1/namespaces/NS/pods", pod("p", containers=[{"name": "UPPER"}]))
    ports = [{"port": 0}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    c.call("POST", "/api/v1/namespaces/NS/services", {**service, "spec": {"ports": ports}})
    c.call("POST", "/api/v1/namespaces/NS/services", {**service, "spec": {}})


@case
def wrong_types_and_unknown_fields(c: Conversation) -> None:
    c.call("POST", DEPLOYMENTS, deployment("d", replicas="many"))
    unknown = deployment("d", colour="red")
    unknown["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    c.call("POST", f"{DEPLOYMENTS}?dryRun=All", unknown)
    c.call("POST", f"{DEPLOYMENTS}?dryRun=All&fieldValidation=Strict", unknown)
    c.call("POST", f"{DEPLOYMENTS}?dryRun=All&fieldValidation=Ignore", unknown)
    c.call("POST", f"{DEPLOYMENTS}?dryRun=All&fieldValidation=Perhaps", unknown)


@case
def defaults(c: Conversation) -> None:
    c.call("POST", f"{DEPLOYMENTS}?dryRun=All", deployment("d"))
    sets = "/apis/apps/v1/namespaces/NS"
    labels = {"matchLabels": {"app": "x"}}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod("x")["spec"]}
    common = {"selector": labels, "template": template}
    for kind, plural, more in (
        ("StatefulSet", "statefulsets", {"serviceName": "x"}),
        ("DaemonSet", "daemonsets", {}),
        ("ReplicaSet", "replicasets", {}),
    ):
        body = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "x"}}
        c.call("POST", f"{sets}/{plural}?dryRun=All", {**body, "spec": {**common, **more}})
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "x"}},
    }
    c.call("POST", "/api/v1/namespaces/NS/services?dryRun=All", service)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    c.call("POST", "/api/v1/namespaces/NS/secrets?dryRun=All", {**secret, "stringData": {"a": "b"}})
    subject = [{"kind": "User", "name": "ann"}]
    reference = {"kind": "ClusterRole", "name": "view"}
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/NS"
    body = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "r"},
        "subjects": subject,
        "roleRef": reference,
    }
    c.call("POST", f"{rbac}/rolebindings?dryRun=All", body)


@case
def job_defaults(c: Conversation) -> None:
    spec = {**pod("x")["spec"], "restartPolicy": "Never"}
    job = {"template": {"spec": spec}}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": job}
    made = c.call("POST", "/apis/batch/v1/namespaces/NS/jobs?dryRun=All", body, note=False)
    kept = {k: v for k, v in made["spec"].items() if k not in {"selector", "template"}}
    c.steps.append({"request": "job", "body": kept})
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c"},
        "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": job}},
    }
    c.call("POST", "/apis/batch/v1/namespaces/NS/cronjobs?dryRun=All", cron)
    job["template"]["spec"]["restartPolicy"] = "Always"
    c.call("POST", "/apis/batch/v1/namespaces/NS/jobs?dryRun=All", body)


@case
def dry_run_stores_nothing(c: Conversation) -> None:
    c.call("POST", f"{MAPS}?dryRun=All", config("one", a="1"))
    c.call("POST", f"{MAPS}?dryRun=Some", config("one", a="1"))
    c.call("GET", f"{MAPS}/one")
    c.call("POST", MAPS, config("one", a="1"), note=False)
    c.call("PATCH", f"{MAPS}/one?dryRun=All", {"data": {"a": "2"}}, kind=MERGE)
    c.call("DELETE", f"{MAPS}/one?dryRun=All")
    c.call("GET", f"{MAPS}/one")


@case
def merge_patches(c: Conversation) -> None:
    c.call("POST", MAPS, config("one", a="1", b="2"), note=False)
    c.call("PATCH", f"{MAPS}/one", {"data": {"a": None, "c": "3"}}, kind=MERGE)
    c.call("PATCH", f"{MAPS}/one", b"[]", kind=MERGE)
    c.call("PATCH", f"{MAPS}/one", b"{", kind=MERGE)
    stale = {"metadata": {"resourceVersion": "1"}, "data": {"x": "y"}}
    c.call("PATCH", f"{MAPS}/one", stale, kind=MERGE)
    c.call("PATCH", f"{MAPS}/one", {"data": {"n": 5}}, kind=MERGE)
    c.call("PATCH", f"{MAPS}/none", {"data": {}}, kind=MERGE)
    c.call("PATCH", f"{MAPS}/one", {"data": {}}, kind="application/json")
    c.call("PATCH", f"{MAPS}/one?force=true", {"data": {}}, kind=MERGE)


@case
def json_patches(c: Conversation) -> None:
    c.call("POST", MAPS, config("one", a="1"), note=False)
    add = {"op": "add", "path": "/data/b", "value": "2"}
    c.call("PATCH", f"{MAPS}/one", [add], kind=JSON_PATCH)
    c.call("PATCH", f"{MAPS}/one", [{"op": "remove", "path": "/data/zzz"}], kind=JSON_PATCH)
    test = {"op": "test", "path": "/data/a", "value": "9"}
    c.call("PATCH", f"{MAPS}/one", [test], kind=JSON_PATCH)
    c.call(
        "PATCH",
        f"{MAPS}/one",
        [{"op": "move", "from": "/data/a", "path": "/data/m"}],
        kind=JSON_PATCH,
    )
    c.call(
        "PATCH",
        f"{MAPS}/one",
        [{"op": "replace", "path": "/data/m", "value": "7"}],
        kind=JSON_PATCH,
    )
    c.call("PATCH", f"{MAPS}/one", {"op": "add"}, kind=JSON_PATCH)


@case
def strategic_patches(c: Conversation) -> None:
    c.call("POST", DEPLOYMENTS, deployment("d"), note=False)

    def containers(*items: dict) -> dict:
        return {"spec": {"template": {"spec": {"containers": list(items)}}}}

    side = {"name": "side", "image": "example/side:1"}
    c.call("PATCH", f"{DEPLOYMENTS}/d", containers(side), kind=STRATEGIC)
    environment = {"name": "main", "env": [{"name": "A", "value": "1"}]}
    c.call("PATCH", f"{DEPLOYMENTS}/d", containers(environment), kind=STRATEGIC)
    gone = {"name": "side", "$patch": "delete"}
    c.call("PATCH", f"{DEPLOYMENTS}/d", containers(gone), kind=STRATEGIC)
    ports = {"name": "main", "ports": [{"containerPort": 81}]}
    c.call("PATCH", f"{DEPLOYMENTS}/d", containers(ports), kind=STRATEGIC)
    strategy = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    c.call("PATCH", f"{DEPLOYMENTS}/d", strategy, kind=STRATEGIC)
    c.call("PATCH", f"{DEPLOYMENTS}/d", containers({"image": "x"}), kind=STRATEGIC)
    selector = {"spec": {"selector": {"matchLabels": {"app": "other"}}}}
    c.call("PATCH", f"{DEPLOYMENTS}/d", selector, kind=STRATEGIC)


@case
def server_side_apply(c: Conversation) -> None:
    def apply(body: dict, manager: str, more: str = "") -> None:
        path = f"{MAPS}/one?fieldManager={manager}{more}"
        c.call("PATCH", path, body, kind=APPLY)

    apply(config("one", a="1", b="2"), "first")
    apply(config("one", a="1", b="2"), "first")
    apply(config("one", a="9"), "second")
    apply(config("one", a="9", b="8"), "second")
    apply(config("one", a="9"), "second", "&force=true")
    apply(config("one", b="3"), "first")
    apply(config("one"), "first")
    c.call("PATCH", f"{MAPS}/one", config("one"), kind=APPLY)
    c.call("PATCH", f"{MAPS}/two?fieldManager=x", config("one"), kind=APPLY)


@case
def apply_and_update_share_an_object(c: Conversation) -> None:
    full = deployment("d")
    c.call("PATCH", f"{DEPLOYMENTS}/d?fieldManager=first", full, kind=APPLY)
    patch = {"spec": {"replicas": 1}}
    c.call("PATCH", f"{DEPLOYMENTS}/d?fieldManager=scaler", patch, kind=MERGE)
    c.call("PATCH", f"{DEPLOYMENTS}/d?fieldManager=first", full, kind=APPLY)
    del full["spec"]["replicas"]
    full["spec"]["template"]["spec"]["containers"][0]["ports"] = []
    c.call("PATCH", f"{DEPLOYMENTS}/d?fieldManager=first", full, kind=APPLY)


@case
def lists_and_pages(c: Conversation) -> None:
    for name in ("a", "b", "c"):
        body = config(name, n=name)
        body["metadata"]["labels"] = {"set": "x" if name != "c" else "y"}
        c.call("POST", MAPS, body, note=False)
    mine = "fieldSelector=metadata.name!=kube-root-ca.crt"
    c.call("GET", f"{MAPS}?{mine}")
    c.call("GET", f"{MAPS}?labelSelector=set%3Dx")
    c.call("GET", f"{MAPS}?labelSelector=set+notin+(x),set")
    c.call("GET", f"{MAPS}?labelSelector=!set&{mine}")
    c.call("GET", f"{MAPS}?fieldSelector=metadata.name%3Db")
    c.call("GET", f"{MAPS}?fieldSelector=data.n%3Db")
    c.call("GET", f"{MAPS}?labelSelector=%3D%3D")
    page = c.call("GET", f"{MAPS}?limit=2")
    c.call("GET", f"{MAPS}?limit=2&continue={page['metadata']['continue']}", note=False)
    c.call("GET", f"{MAPS}?limit=2&continue=nonsense")
    c.call("GET", f"{MAPS}?resourceVersion=nonsense")
    c.call("GET", f"{MAPS}?resourceVersionMatch=Exact")
    c.call("DELETE", f"{MAPS}?labelSelector=set", note=False)
    left = c.call("GET", f"{MAPS}?labelSelector=set")
    assert left["items"] == []


@case
def forms_of_answers(c: Conversation) -> None:
    c.call("POST", MAPS, config("one", a="1"), note=False)
    c.call("GET", f"{MAPS}/one", accept=TABLE)
    c.call("GET", f"{MAPS}/one?includeObject=None", accept=TABLE)
    c.call("GET", f"{MAPS}?labelSelector=none", accept=TABLE)
    c.call("GET", f"{MAPS}/one", accept=PARTIAL)
    c.call("GET", f"{MAPS}/one", accept="application/yaml")
    c.call("GET", f"{MAPS}/one", accept="text/html")
    c.call("POST", DEPLOYMENTS, deployment("d"), note=False)
    c.call("GET", f"{DEPLOYMENTS}/d?includeObject=None", accept=TABLE)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 80}], "clusterIP": "None"},
    }
    services = "/api/v1/namespaces/NS/services"
    c.call("POST", services, service, note=False)
    c.call("GET", f"{services}/s?includeObject=None", accept=TABLE)


@case
def watches(c: Conversation) -> None:
    made = c.call("POST", MAPS, config("one", a="1"), note=False)
    version = made["metadata"]["resourceVersion"]
    c.call("PATCH", f"{MAPS}/one", {"data": {"a": "2"}}, kind=MERGE, note=False)
    c.call("DELETE", f"{MAPS}/one", note=False)
    one = "fieldSelector=metadata.name%3Done"
    c.events(f"{MAPS}?watch=1&resourceVersion={version}&{one}", 2)
    c.steps[-1]["request"] = "WATCH"
    c.call("POST", MAPS, config("one", a="1"), note=False)
    c.events(f"{MAPS}?watch=1&{one}", 1)
    initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    c.events(f"{MAPS}?watch=1&{initial}&{one}", 2)
    c.call("GET", f"{MAPS}?watch=1&sendInitialEvents=true")
    c.call("GET", f"{MAPS}?watch=1&resourceVersion=nonsense")


@case
def deletions(c: Conversation) -> None:
    made = c.call("POST", MAPS, config("one", a="1"), note=False)
    wrong = {"preconditions": {"uid": "11111111-1111-1111-1111-111111111111"}}
    answer = c.call("DELETE", f"{MAPS}/one", wrong, note=False)
    c.steps.append({"request": "uid", "body": [answer["code"], answer["reason"]]})
    c.call("DELETE", f"{MAPS}/one", {"propagationPolicy": "Sideways"})
    right = {"preconditions": {"uid": made["metadata"]["uid"]}}
    c.call("DELETE", f"{MAPS}/one", right)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    accounts = "/api/v1/namespaces/NS/serviceaccounts"
    c.call("POST", accounts, account)
    c.call("DELETE", f"{accounts}/robot")


@case
def scale_and_status(c: Conversation) -> None:
    c.call("POST", DEPLOYMENTS, deployment("d"), note=False)
    c.call("GET", f"{DEPLOYMENTS}/d/scale")
    c.call("PATCH", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 0}}, kind=MERGE)
    c.call("PATCH", f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": -1}}, kind=MERGE)
    c.call("GET", f"{MAPS}/d/scale")
    c.call("GET", f"{DEPLOYMENTS}/none/scale")
    c.call("GET", f"{DEPLOYMENTS}/none/status")


@case
def immutable_fields(c: Conversation) -> None:
    c.call("POST", MAPS, {**config("one", a="1"), "immutable": True}, note=False)
    c.call("PATCH", f"{MAPS}/one", {"data": {"a": "2"}}, kind=MERGE)
    secrets = "/api/v1/namespaces/NS/secrets"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    c.call("POST", secrets, secret, note=False)
    c.call("PATCH", f"{secrets}/s", {"type": "other"}, kind=MERGE)
    c.call("PATCH", f"{secrets}/s", {"metadata": {"name": "t"}}, kind=MERGE)
