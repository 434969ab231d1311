"""A request line is read as the API server reads it, or not at all."""

from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeops.agent.policy.request import ApiRequest, Unreadable, read


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/api/v1/pods", ApiRequest("list", resource="pods")),
        ("GET", "/api/v1/pods?watch=true", ApiRequest("watch", resource="pods")),
        ("GET", "/api/v1/pods?watch", ApiRequest("watch", resource="pods")),
        ("GET", "/api/v1/pods?%77atch=1", ApiRequest("watch", resource="pods")),
        ("GET", "/api/v1/pods?watch=False", ApiRequest("list", resource="pods")),
        ("GET", "/api/v1/watch/namespaces/a/pods", ApiRequest("watch", "", "pods", "", "a")),
        ("GET", "/api/v1/namespaces/a/pods/", ApiRequest("list", "", "pods", "", "a")),
        ("HEAD", "/api/v1/namespaces/a/pods/p", ApiRequest("get", "", "pods", "", "a", "p")),
        ("GET", "/api/v1/namespaces/a/pods/p?watch=true", ApiRequest("get", "", "pods", "", "a", "p")),
        ("POST", "/api/v1/namespaces/a/pods", ApiRequest("create", "", "pods", "", "a")),
        ("PUT", "/api/v1/namespaces/a/pods/p", ApiRequest("update", "", "pods", "", "a", "p")),
        ("PATCH", "/api/v1/nodes/n", ApiRequest("patch", "", "nodes", "", "", "n")),
        ("DELETE", "/api/v1/namespaces/a/pods/p", ApiRequest("delete", "", "pods", "", "a", "p")),
        ("DELETE", "/api/v1/namespaces/a/pods", ApiRequest("deletecollection", "", "pods", "", "a")),
        ("GET", "/api/v1/namespaces/a", ApiRequest("get", "", "namespaces", "", "a", "a")),
        ("GET", "/api/v1/namespaces", ApiRequest("list", resource="namespaces")),
        ("PUT", "/api/v1/namespaces/a/finalize", ApiRequest("update", "", "namespaces", "finalize", "a", "a")),
        ("GET", "/api/v1/namespaces/a/status", ApiRequest("get", "", "namespaces", "status", "a", "a")),
        ("GET", "/apis/apps/v1/namespaces/a/deployments/d/scale", ApiRequest("get", "apps", "deployments", "scale", "a", "d")),
        ("GET", "/api/v1/namespaces/a/pods/p/log?follow=true", ApiRequest("get", "", "pods", "log", "a", "p")),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode", ApiRequest("get", "rbac.authorization.k8s.io", "clusterroles", "", "", "system:node")),
        ("GET", "/api", ApiRequest("get", path="/api")),
        ("GET", "/apis/apps/v1", ApiRequest("get", path="/apis/apps/v1")),
        ("GET", "/", ApiRequest("get", path="/")),
        ("GET", "/version?timeout=32s", ApiRequest("get", path="/version")),
        ("GET", "/API/v1/pods", ApiRequest("get", path="/API/v1/pods")),
        ("OPTIONS", "/api/v1/pods", ApiRequest("options", resource="pods")),
    ],
)  # fmt: skip
def test_requests_are_read_as_the_api_server_reads_them(method, target, expected):
    assert read(method.encode(), target.encode()) == expected


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize(
    "path",
    [
        b"/api/v1/namespaces/a/pods/p/exec?command=sh",
        b"/api/v1/namespaces/a/pods/p/attach",
        b"/api/v1/namespaces/a/pods/p/portforward",
        b"/api/v1/namespaces/a/pods/p/proxy/x",
        b"/api/v1/namespaces/a/services/https:web:443/proxy/a//b%2Fc;d",
        b"/api/v1/nodes/n/proxy/run/a/b/c",
        b"/api/v1/namespaces/a/pods/p/ex%65c",
    ],
)
def test_a_channel_is_a_channel_whatever_the_method(method, path):
    assert read(method, path).verb == "connect"


def test_the_get_of_an_unknown_subresource_may_be_a_channel():
    request = read(b"GET", b"/apis/kubevirt.io/v1/namespaces/a/virtualmachineinstances/v/vnc")
    assert request.verb == "connect"
    assert read(b"GET", b"/api/v1/namespaces/a/pods/p/ephemeralcontainers").verb == "get"


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1//pods",
        "//api/v1/pods",
        "/api//v1/pods",
        "/api/v1/pods//",
        "/api/v1/./pods",
        "/api/v1/namespaces/a/../b/secrets",
        "/api/v1/namespaces/a/%2e%2e/b/secrets",
        "/api/v1/namespaces/a/%2E./b/secrets",
        "/api/v1/namespaces/a%2fsecrets",
        "/api/v1/namespaces/a/pods%2Fp%2Fexec",
        "/api/v1/namespaces/a/pods/p%5cexec",
        "/api/v1/namespaces/a/pods\\p",
        "/api/v1/namespaces/a/pods/p%252fexec",
        "/api/v1/namespaces/a/pods/p;x=1",
        "/api/v1/namespaces/a/pods/p%3bx",
        "/api/v1/namespaces/a/pods/%",
        "/api/v1/namespaces/a/pods/%zz",
        "/api/v1/namespaces/a/pods/p%00",
        "/api/v1/namespaces/a/pods/%ff",
        "/api/v1/namespaces/a/Secrets",
        "/api/v1/namespaces/A/secrets",
        "/api/v1/namespaces/a/secret%73%20",
        "/api/v1/namespaces/a/pods/p/EXEC",
        "/apis/Apps/v1/deployments",
        "/api/V1/pods",
        "/api/v1/proxy/nodes/n",
        "/api/v1/redirect/nodes/n",
        "/api/v1/watch",
        "/api/v1/nodes/n/proxy/../../secrets",
        "/api/v1/nodes/n/proxy/x%2f..%2fy",
        "/api/v1/namespaces/a/proxy/x%2fexec",
        "/apis/g/v1/namespaces/a/proxy/x%2fexec",
        "/api/v1/pods?watch=true&watch=false",
        "/api/v1/pods?watch=%zz",
        "/api/v1/pods?a=b;watch=true",
        "api/v1/pods",
        "*",
        "http://other/api/v1/pods",
    ],
)
def test_what_two_readers_could_take_differently_is_not_read(target):
    with pytest.raises(Unreadable):
        read(b"GET", target.encode())


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT", b"get", b"PROPFIND"])
def test_other_methods_are_none_of_the_apis(method):
    with pytest.raises(Unreadable, match="none of the API's"):
        read(method, b"/api/v1/pods")


def test_it_says_in_words_what_is_asked():
    assert (
        str(read(b"GET", b"/api/v1/namespaces/a/pods/p/exec"))
        == "connect pods/exec 'p' in namespace a"
    )
    assert str(read(b"GET", b"/apis/apps/v1/deployments")) == "list deployments.apps"
    assert str(read(b"GET", b"/metrics")) == "get /metrics"


def info(method: str, target: str) -> tuple[str, ...]:
    """What the API server takes a request for: its RequestInfo factory, step by step, on the decoded path.

    Returns verb by method, group, resource, subresource, namespace, name; or the path of what is no resource.
    """
    path = unquote(target.partition("?")[0])
    parts = path.strip("/").split("/")
    if len(parts) < 3 or parts[0] not in {"api", "apis"}:
        return ("path", path)
    rest = parts[1:]
    group = ""
    if parts[0] == "apis":
        if len(rest) < 3:
            return ("path", path)
        group, rest = rest[0], rest[1:]
    rest = rest[1:]
    if rest[0] in {"proxy", "watch"}:
        if len(rest) < 2:
            return ("path", path)
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in {"status", "finalize"}:
            rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    return (group, rest[0], subresource, namespace, name)


SEGMENTS = st.sampled_from(
    [
        "api", "apis", "v1", "apps", "namespaces", "kube-system", "pods", "secrets", "p", "exec", "log", "proxy",
        "watch", "status", "finalize", "", ".", "..", "%2e%2e", "%2F", "a%2fb", "%70ods", "s%65crets", "Secrets",
        "a;b", "a\\b", "%25", "%00", "x y", "%C3%A9", "%ff", "exec%2f", "kube-system%2Fsecrets",
    ]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(SEGMENTS, max_size=8), st.sampled_from(["/", "/api/v1/", "/apis/apps/v1/", "//"]))
def test_a_path_that_is_read_means_to_us_what_it_means_to_the_api_server(segments, front):
    target = front + "/".join(segments)
    try:
        request = read(b"GET", target.encode())
    except Unreadable:
        return
    theirs = info("GET", target)
    if request.resource:
        assert theirs == (
            request.group, request.resource, request.subresource, request.namespace, request.name
        )  # fmt: skip
    else:
        assert theirs[0] == "path"
        assert theirs[1].strip("/") == request.path.strip("/")
