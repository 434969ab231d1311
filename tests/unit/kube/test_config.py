import base64
import datetime as dt
import json
import shutil

import pytest

from pipeops.kube.config import (
    NO_CLUSTER,
    finds_kubeconfig,
    in_cluster,
    is_in_cluster,
    load_kubeconfig,
    no_cluster,
)
from pipeops.kube.errors import KubeConfigError
from pipeops.kube.exec_plugin import ExecPlugin
from tests.support.certificates import Authority, write_kubeconfig
from tests.support.clock import FakeClock

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def pod(tmp_path, authority):
    shutil.copy(authority.ca_file, tmp_path / "ca.crt")
    (tmp_path / "token").write_text("sa-token\n")
    (tmp_path / "namespace").write_text("pipeops-system\n")
    return tmp_path


def write(path, cluster, user, **context):
    path.write_text(
        json.dumps(
            {
                "current-context": "x",
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", **context}}],
            }
        )
    )
    return str(path)


def test_in_cluster(pod, authority):
    access = in_cluster(POD, directory=str(pod))
    assert access.url == "https://10.0.0.1"
    assert access.namespace == "pipeops-system"
    assert access.credentials.authorization() == b"Bearer sa-token"
    assert access.ca == authority.ca_file.read_bytes()
    assert access.ssl_context() is not None
    assert is_in_cluster(POD)


async def test_a_rotated_cluster_ca_is_trusted_by_the_next_context(pod, authority, tmp_path):
    access = in_cluster(POD, directory=str(pod))
    first = access.credentials.generation
    other = Authority(tmp_path / "other", "other-ca")
    shutil.copy(other.ca_file, pod / "ca.crt")
    await access.credentials.refresh()
    assert access.credentials.generation == first + 1
    assert access.current_ca() == other.ca_file.read_bytes()
    subjects = [
        dict(pair[0] for pair in ca["subject"]) for ca in access.ssl_context().get_ca_certs()
    ]
    assert [subject["commonName"] for subject in subjects] == ["other-ca"]
    (pod / "ca.crt").unlink()
    assert access.current_ca() == authority.ca_file.read_bytes()


def test_in_cluster_on_ipv6(pod):
    access = in_cluster({**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}, directory=str(pod))
    assert access.authority == "[fd00::1]"


def test_not_a_pod():
    assert not is_in_cluster({})
    with pytest.raises(KubeConfigError, match=r"not in a cluster.*kubeconfig"):
        in_cluster({})


def test_service_account_not_mounted(tmp_path):
    with pytest.raises(KubeConfigError, match=r"ca\.crt.*automountServiceAccountToken"):
        in_cluster(POD, directory=str(tmp_path))


def test_port_must_be_a_number(pod):
    with pytest.raises(KubeConfigError, match="KUBERNETES_SERVICE_PORT"):
        in_cluster({**POD, "KUBERNETES_SERVICE_PORT": "tcp://10.0.0.1"}, directory=str(pod))


def test_kubeconfig_with_certificate_files(tmp_path, authority):
    path = write_kubeconfig(
        tmp_path / "config",
        server="https://127.0.0.1:6443/k8s/clusters/c1/",
        ca_file=authority.ca_file,
        client=authority.client("admin", "admin"),
        namespace="team",
    )
    access = load_kubeconfig(str(path))
    assert (access.host, access.port, access.tls) == ("127.0.0.1", 6443, True)
    assert access.base_path == "/k8s/clusters/c1"
    assert access.url == "https://127.0.0.1:6443/k8s/clusters/c1"
    assert access.namespace == "team"
    assert access.credentials.certificate() is not None
    assert access.ssl_context() is not None
    assert "context test" in access.origin


def test_inline_data_and_relative_paths(tmp_path, authority):
    pair = authority.client("inline", "inline")
    shutil.copy(authority.ca_file, tmp_path / "ca.pem")
    (tmp_path / "tok").write_text("from-file")

    def data(file):
        return base64.b64encode(file.read_bytes()).decode()

    access = load_kubeconfig(
        write(
            tmp_path / "config",
            {
                "server": "https://api.example",
                "certificate-authority": "ca.pem",
                "tls-server-name": "kubernetes",
                "proxy-url": "http://proxy:3128",
            },
            {
                "client-certificate-data": data(pair.certificate),
                "client-key-data": data(pair.key),
                "tokenFile": "tok",
            },
        )
    )
    assert access.port == 443
    assert access.server_name == "kubernetes"
    assert access.proxy_url == "http://proxy:3128"
    assert access.credentials.authorization() == b"Bearer from-file"
    assert access.credentials.certificate() is not None
    assert access.namespace == "default"
    assert "PRIVATE" not in repr(access)


@pytest.mark.parametrize(
    ("user", "value"),
    [
        ({"token": "t"}, b"Bearer t"),
        ({"username": "u", "password": "p"}, b"Basic dTpw"),
        ({}, None),
    ],
)
def test_tokens_basic_and_anonymous(tmp_path, user, value):
    access = load_kubeconfig(write(tmp_path / "c", {"server": "http://h:8080"}, user))
    assert access.credentials.authorization() == value
    assert access.ssl_context() is None


def test_insecure_has_to_be_written(tmp_path):
    cluster = {"server": "https://h", "insecure-skip-tls-verify": True}
    context = load_kubeconfig(write(tmp_path / "c", cluster, {})).ssl_context()
    assert context is not None
    assert not context.check_hostname


def test_exec_plugin(tmp_path, authority):
    cluster = {
        "server": "https://h",
        "certificate-authority": str(authority.ca_file),
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"a": 1}}],
    }
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "./bin/login",
        "args": ["token"],
        "env": [{"name": "A", "value": "b"}],
        "provideClusterInfo": True,
        "interactiveMode": "IfAvailable",
    }
    access = load_kubeconfig(write(tmp_path / "c", cluster, {"exec": plugin}))
    assert isinstance(access.credentials, ExecPlugin)
    spec = access.credentials._spec
    assert spec.command == str(tmp_path / "bin/login")
    assert spec.cluster is not None
    assert spec.cluster["config"] == {"a": 1}
    assert base64.b64decode(spec.cluster["certificate-authority-data"]) == access.ca


EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "x"}


@pytest.mark.parametrize(
    ("cluster", "user", "words"),
    [
        ({}, {}, "no server"),
        ({"server": "ftp://h"}, {}, "http or https"),
        ({"server": "https://"}, {}, "with a host"),
        ({"server": "https://h:99999"}, {}, "malformed"),
        ({"server": "https://h", "certificate-authority": "no.pem"}, {}, "no.pem: No such file"),
        ({"server": "https://h", "certificate-authority-data": "aGk="}, {}, "no PEM certificate"),
        ({"server": "https://h", "certificate-authority-data": "="}, {}, "certificate-authority"),
        ({"server": "https://h"}, {"tokenFile": "nope"}, "nope: No such file"),
        ({"server": "https://h"}, {"auth-provider": {"name": "gcp"}}, "exec plugin instead"),
        ({"server": "https://h"}, {"as": "admin"}, "not supported"),
        ({"server": "https://h"}, {"client-certificate": "c"}, "needs both"),
        ({"server": "https://h"}, {"client-key-data": "aGk="}, "without a client certificate"),
        ({"server": "https://h"}, {"client-certificate-data": "aGk="}, "without a client key"),
        ({"server": "https://h"}, {"exec": {**EXEC, "apiVersion": "v1alpha1"}}, "supported is"),
        ({"server": "https://h"}, {"exec": {**EXEC, "command": ""}}, "no command"),
        ({"server": "https://h"}, {"exec": {**EXEC, "interactiveMode": "Always"}}, "terminal"),
        ({"server": "https://h"}, {"token": "a b"}, "no header may carry"),
    ],
)
def test_errors_name_file_context_and_reason(tmp_path, cluster, user, words):
    path = write(tmp_path / "c", cluster, user)
    with pytest.raises(KubeConfigError) as caught:
        load_kubeconfig(path)
    assert words in str(caught.value)
    assert path in str(caught.value)
    assert "'x'" in str(caught.value)


def test_expired_certificate_is_told_at_once(tmp_path, authority):
    path = write_kubeconfig(
        tmp_path / "config",
        server="https://h",
        ca_file=authority.ca_file,
        client=authority.client("late", "late"),
    )
    later = FakeClock(wall=(dt.datetime.now(dt.UTC) + dt.timedelta(days=9)).timestamp())
    with pytest.raises(KubeConfigError, match=r"late\.crt.*expired on"):
        load_kubeconfig(str(path), clock=later)


def test_contexts(tmp_path):
    path = write(tmp_path / "c", {"server": "https://h"}, {})
    assert load_kubeconfig(path, context="x").host == "h"
    with pytest.raises(KubeConfigError, match="no context 'y'; choose one of x"):
        load_kubeconfig(path, context="y")
    (tmp_path / "c").write_text('{"contexts":[{"name":"z","context":{"cluster":"gone"}}]}')
    with pytest.raises(KubeConfigError, match="no current-context; choose one of z"):
        load_kubeconfig(path)
    with pytest.raises(KubeConfigError, match="unknown cluster 'gone'"):
        load_kubeconfig(path, context="z")
    (tmp_path / "c").write_text(
        '{"contexts":[{"name":"z","context":{"cluster":"c","user":"gone"}}],"clusters":[{"name":"c"}]}'
    )
    with pytest.raises(KubeConfigError, match="unknown user 'gone'"):
        load_kubeconfig(path, context="z")


def test_which_file(tmp_path):
    path = write(tmp_path / "c", {"server": "https://from-env"}, {})
    assert load_kubeconfig(environment={"KUBECONFIG": f"/no:{path}"}).host == "from-env"
    with pytest.raises(KubeConfigError, match="KUBECONFIG=/no names no file"):
        load_kubeconfig(environment={"KUBECONFIG": "/no", "HOME": str(tmp_path)})
    with pytest.raises(KubeConfigError, match=r"~/.kube/config names no file"):
        load_kubeconfig(environment={"HOME": str(tmp_path)})
    with pytest.raises(KubeConfigError, match="No such file"):
        load_kubeconfig("/no/such")


def test_without_a_cluster_every_connection_is_refused_at_once(tmp_path):
    access = no_cluster()
    assert (access.port, access.origin) == (0, NO_CLUSTER)
    assert access.credentials.authorization() is None
    assert not finds_kubeconfig({"HOME": str(tmp_path)})
    assert finds_kubeconfig({"KUBECONFIG": "/no"})
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").touch()
    assert finds_kubeconfig({"HOME": str(tmp_path)})
