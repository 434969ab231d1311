"""More conversations: identities and rights, paths, discovery, namespaces, custom resources."""

import json

from tests.contract.cases import APPLY, DEPLOYMENTS, MAPS, MERGE, STRATEGIC, TABLE, case, config
from tests.contract.transcript import Conversation


@case
def reviews(c: Conversation) -> None:
    authn, authz = "/apis/authentication.k8s.io/v1", "/apis/authorization.k8s.io/v1"

    def review(kind: str, **spec: object) -> dict:
        return {"kind": kind, "spec": spec}

    ask = {"namespace": "default", "verb": "get", "resource": "pods"}
    own = f"{authz}/selfsubjectaccessreviews"
    version = {"apiVersion": "authorization.k8s.io/v1"}
    access = review("SelfSubjectAccessReview", resourceAttributes=ask) | version
    c.call("POST", own, access)
    c.call("POST", own, review("SelfSubjectAccessReview") | version)
    path = {"path": "/metrics", "verb": "get"}
    somebody = {"user": "ann", "groups": ["system:authenticated"]}
    body = review("SubjectAccessReview", nonResourceAttributes=path, **somebody) | version
    c.call("POST", f"{authz}/subjectaccessreviews", body)
    path = {"path": "/apis", "verb": "get"}
    body = review("SubjectAccessReview", nonResourceAttributes=path, **somebody) | version
    c.call("POST", f"{authz}/subjectaccessreviews", body)
    body = review("SubjectAccessReview", resourceAttributes=ask) | version
    c.call("POST", f"{authz}/subjectaccessreviews", body)
    token = review("TokenReview", token="nonsense") | {"apiVersion": "authentication.k8s.io/v1"}
    c.call("POST", f"{authn}/tokenreviews", token)
    c.call("GET", own)


@case
def whoami_of_an_impersonated_user(c: Conversation) -> None:
    who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    extra = {"Impersonate-User": "ann", "Impersonate-Extra-Reason": "because"}
    c.call("POST", path, who, headers=extra)
    c.call("POST", path, who, headers={"Impersonate-User": "system:serviceaccount:x:y"})
    c.call("POST", path, who, headers={"Impersonate-Group": "g"})


@case
def forbidden(c: Conversation) -> None:
    ann = {"Impersonate-User": "ann"}
    c.call("GET", MAPS, headers=ann)
    c.call("GET", f"{MAPS}/one", headers=ann)
    c.call("GET", "/api/v1/nodes", headers=ann)
    c.call("GET", "/apis/apps/v1/deployments", headers=ann)
    c.call("GET", f"{DEPLOYMENTS}/d/scale", headers=ann)
    c.call("DELETE", MAPS, headers=ann)
    c.call("GET", "/metrics", headers=ann)
    c.call("POST", "/api/v1/namespaces/NS/pods/p/exec?command=ls", headers=ann)
    viewer = {"Impersonate-User": "ann", "Impersonate-Group": "pipeops:viewers"}
    c.call("GET", "/api/v1/namespaces/NS/secrets", headers=viewer)
    c.call("POST", MAPS, config("x"), headers=viewer)
    c.call("PATCH", f"{MAPS}/one?fieldManager=x", config("one"), kind=APPLY, headers=viewer)


@case
def tokens_of_service_accounts(c: Conversation) -> None:
    accounts = "/api/v1/namespaces/NS/serviceaccounts"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    c.call("POST", accounts, account, note=False)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    c.call("POST", f"{accounts}/robot/token", {**request, "spec": {"expirationSeconds": 900}})
    c.call("POST", f"{accounts}/robot/token", {**request, "spec": {"expirationSeconds": 5}})
    c.call("POST", f"{accounts}/none/token", {**request, "spec": {}})


@case
def paths_and_methods(c: Conversation) -> None:
    c.call("GET", "/no/such/path")
    c.call("GET", "/api/v1/nosuchthings")
    c.call("GET", "/apis/nosuchgroup/v1/things")
    c.call("GET", "/apis/apps/v9/deployments")
    c.call("GET", "/api/v1/namespaces/NS/nodes")
    c.call("PUT", MAPS, config("x"))
    c.call("POST", "/api/v1/configmaps", config("x"))
    c.call("GET", "/healthz")
    c.call("GET", "/readyz?verbose", note=False)
    c.call("GET", f"{MAPS}/one/two")
    c.call("GET", "/api/v1/namespaces/NS")


@case
def discovery(c: Conversation) -> None:
    c.call("GET", "/api")
    groups = c.call("GET", "/apis", note=False)["groups"]
    c.steps.append({"request": "groups", "body": [each["name"] for each in groups]})
    for path in ("/apis/apps", "/api/v1", "/apis/apps/v1", "/apis/batch/v1"):
        c.call("GET", path)
    aggregated = "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList"
    c.call("GET", "/api", accept=aggregated)


@case
def namespaces(c: Conversation) -> None:
    name = f"{c.namespace}-inner"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    c.call("POST", "/api/v1/namespaces", body)
    c.call("GET", f"/api/v1/namespaces/{name}/status")
    c.call("POST", "/api/v1/namespaces", {**body, "metadata": {"name": "Wrong"}})
    answer = c.call("DELETE", f"/api/v1/namespaces/{name}", note=False)
    shown = {key: answer.get(key) for key in ("kind", "spec")}
    c.steps.append({"request": "DELETE namespace", "body": json.loads(json.dumps(shown))})


@case
def custom_resources(c: Conversation) -> None:
    group = f"{c.namespace}.example.com"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"boxes.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "boxes", "kind": "Box"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "required": ["size"],
                                    "properties": {
                                        "size": {"type": "integer"},
                                        "colour": {"type": "string", "default": "blue"},
                                    },
                                }
                            },
                        }
                    },
                }
            ],
        },
    }
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    c.call("POST", crds, definition, note=False)
    c.wait_for(f"{crds}/boxes.{group}", "Established")
    boxes = f"/apis/{group}/v1/namespaces/NS/boxes"
    box = {"apiVersion": f"{group}/v1", "kind": "Box", "metadata": {"name": "b"}}
    c.call("POST", boxes, {**box, "spec": {"size": 3, "unknown": 1}})
    c.call("POST", boxes, {**box, "metadata": {"name": "bad"}, "spec": {}})
    c.call("POST", boxes, {**box, "metadata": {"name": "bad"}, "spec": {"size": "large"}})
    c.call("GET", f"{boxes}/b", accept=TABLE)
    c.call("PATCH", f"{boxes}/b", {"spec": {"size": 4}}, kind=MERGE)
    c.call("PATCH", f"{boxes}/b", {"spec": {"size": 4}}, kind=STRATEGIC)
    c.call("PUT", f"{boxes}/b", {**box, "spec": {"size": 5}})
    c.call("GET", boxes)
    c.call("GET", f"/apis/{group}/v1", note=False)
    c.call("DELETE", f"{crds}/boxes.{group}", note=False)
