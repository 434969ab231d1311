"""Where the API server is and how to show who we are: from a pod's files or a kubeconfig."""

import base64
import binascii
import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pipeops.http1.tls import (
    ClientCertificate,
    TlsConfigError,
    check_not_expired,
    cluster_context,
    read_pem,
)
from pipeops.http1.x509 import certificate_count
from pipeops.kube import kubeconfig as files
from pipeops.kube.credentials import (
    CredentialSource,
    FileCredentials,
    StaticCredentials,
    basic,
    bearer,
)
from pipeops.kube.errors import CredentialError, KubeConfigError
from pipeops.kube.exec_plugin import API_VERSIONS, ExecPlugin, ExecSpec
from pipeops.runtime.clock import Clock
from pipeops.runtime.secrets import Secret

SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


NO_CLUSTER: Final = "no cluster"  # origin of an access that leads nowhere


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeAccess:
    """One API server, how to verify it, and the credential for it."""

    host: str
    port: int
    tls: bool
    #: Prefix of every request path: empty, or like `/k8s/clusters/c-abc`; no slash at the end.
    base_path: str
    #: Name to verify and to send as SNI.
    server_name: str
    #: PEM, as it was at the start; `None` means the system's roots.
    ca: bytes | None
    insecure_skip_tls_verify: bool
    #: A proxy the kubeconfig asks for; the environment's proxies never apply to a cluster.
    proxy_url: str | None
    credentials: CredentialSource
    #: Namespace of the pod or of the kubeconfig's context.
    namespace: str
    #: For people: `in-cluster` or the kubeconfig and its context.
    origin: str
    #: Where `ca` is from, if from a file of its own: clusters rotate their CA.
    ca_file: str | None = None

    @property
    def authority(self) -> str:
        """`host:port`, the port left out where it is the scheme's own; the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The API server's URL, for people."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.base_path}"

    def current_ca(self) -> bytes | None:
        """The CA (PEM) as its file has it now; what was read before, if that cannot be read."""
        if self.ca_file is not None:
            with suppress(TlsConfigError):
                return read_pem(self.ca_file, "cluster CA")
        return self.ca

    def ssl_context(self) -> ssl.SSLContext | None:
        """Make the context for new connections; build it again when the generation has changed.

        Raises:
            TlsConfigError: the CA or the client certificate is unusable.
        """
        if not self.tls:
            return None
        return cluster_context(
            ca=self.current_ca(),
            insecure_skip_verify=self.insecure_skip_tls_verify,
            certificate=self.credentials.certificate(),
            origin=f"cluster CA of {self.origin}",
        )


def in_cluster(
    environment: Mapping[str, str] = os.environ,
    *,
    directory: str = SERVICE_ACCOUNT,
    clock: Clock | None = None,
) -> KubeAccess:
    """Return the access that every pod has through its ServiceAccount.

    Raises:
        KubeConfigError: this is no pod, or its ServiceAccount is not mounted.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise KubeConfigError(
            "not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set;"
            " run as a pod, or give a kubeconfig"
        )
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise KubeConfigError(f"KUBERNETES_SERVICE_PORT is not a port number: {port[:40]!r}")
    mount = "is automountServiceAccountToken off for this pod?"
    try:
        ca_file = f"{directory}/ca.crt"
        ca = read_pem(ca_file, "cluster CA")
        credentials = FileCredentials(
            clock or Clock(), token_file=f"{directory}/token", ca_file=ca_file
        )
    except (TlsConfigError, CredentialError) as error:
        raise KubeConfigError(f"in-cluster ServiceAccount: {error}; {mount}") from error
    return KubeAccess(
        host=host,
        port=int(port),
        tls=True,
        base_path="",
        server_name=host,
        ca=ca,
        insecure_skip_tls_verify=False,
        proxy_url=None,
        credentials=credentials,
        namespace=_pod_namespace(directory),
        origin="in-cluster",
        ca_file=ca_file,
    )


def is_in_cluster(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs in a pod."""
    return bool(environment.get("KUBERNETES_SERVICE_HOST"))


def finds_kubeconfig(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody means a kubeconfig to be used: the variable is set, or kubectl's own file exists."""
    home = environment.get("HOME")
    return bool(environment.get("KUBECONFIG")) or bool(
        home and Path(home, ".kube", "config").exists()
    )


def no_cluster() -> KubeAccess:
    """Return the access of an agent that runs without a cluster: every connection is refused at once."""
    return KubeAccess(
        host="127.0.0.1",
        port=0,  # nobody can listen there
        tls=False,
        base_path="",
        server_name="",
        ca=None,
        insecure_skip_tls_verify=False,
        proxy_url=None,
        credentials=StaticCredentials(None, None),
        namespace="default",
        origin=NO_CLUSTER,
    )


def load_kubeconfig(
    path: str | None = None,
    *,
    context: str | None = None,
    environment: Mapping[str, str] = os.environ,
    clock: Clock | None = None,
) -> KubeAccess:
    """Return the access of one context: of `path`, else of what `KUBECONFIG` or kubectl use.

    Raises:
        KubeConfigError: missing, malformed, no such context, an unusable credential or CA.
    """
    home = environment.get("HOME")
    if path:
        merged = files.read([Path(path)])
    else:
        variable = environment.get("KUBECONFIG")
        merged = files.read(files.search_paths(variable, Path(home) if home else None))
        if not merged.files:
            looked = f"KUBECONFIG={variable}" if variable else "~/.kube/config"
            raise KubeConfigError(f"no kubeconfig: {looked} names no file that exists")
    name = context or merged.current_context
    where = f"kubeconfig {':'.join(map(str, merged.files))}"
    return _access(merged, name, where, environment, clock or Clock())


def _access(
    merged: files.Kubeconfig,
    name: str,
    where: str,
    environment: Mapping[str, str],
    clock: Clock,
) -> KubeAccess:
    if not name:
        raise KubeConfigError(
            f"{where}: no current-context; choose one of {_names(merged.contexts)}"
        )
    chosen = merged.contexts.get(name)
    if chosen is None:
        raise KubeConfigError(
            f"{where}: there is no context {name!r}; choose one of {_names(merged.contexts)}"
        )
    if chosen.cluster not in merged.clusters:
        raise KubeConfigError(
            f"{where}: context {name!r} names the unknown cluster {chosen.cluster!r}"
        )
    if chosen.user and chosen.user not in merged.users:
        raise KubeConfigError(f"{where}: context {name!r} names the unknown user {chosen.user!r}")
    cluster, cluster_file = merged.clusters[chosen.cluster]
    user, user_file = merged.users.get(chosen.user, (files.User(), cluster_file))
    try:
        host, port, tls, base_path = _server(cluster)
        ca = _ca(cluster, cluster_file)
        credentials = _credentials(user, user_file, cluster, ca, environment, clock)
    except (KubeConfigError, TlsConfigError, CredentialError) as error:
        raise KubeConfigError(f"{where}, context {name!r}: {error}") from error
    return KubeAccess(
        host=host,
        port=port,
        tls=tls,
        base_path=base_path,
        server_name=cluster.tls_server_name or host,
        ca=ca,
        insecure_skip_tls_verify=cluster.insecure_skip_tls_verify,
        proxy_url=cluster.proxy_url or None,
        credentials=credentials,
        namespace=chosen.namespace or "default",
        origin=f"{where}, context {name}",
    )


def _server(cluster: files.Cluster) -> tuple[str, int, bool, str]:
    """Split the server URL into host, port, whether TLS, and base path."""
    server = cluster.server.strip()
    if not server:
        raise KubeConfigError("the cluster has no server")
    if "://" not in server:
        server = f"https://{server}"
    try:
        url = urlsplit(server)
        port = url.port
    except ValueError as error:
        raise KubeConfigError(f"the server URL is malformed: {error}") from error
    if url.scheme not in {"https", "http"} or not url.hostname:
        raise KubeConfigError("the server must be an http or https URL with a host")
    tls = url.scheme == "https"
    return url.hostname, port or (443 if tls else 80), tls, url.path.rstrip("/")


def _ca(cluster: files.Cluster, origin: Path) -> bytes | None:
    if cluster.certificate_authority_data:
        pem = _decode(cluster.certificate_authority_data, "certificate-authority-data")
        if certificate_count(pem) == 0:
            raise KubeConfigError("certificate-authority-data holds no PEM certificate")
        return pem
    if cluster.certificate_authority:
        return read_pem(_relative(cluster.certificate_authority, origin), "certificate-authority")
    return None


def _credentials(
    user: files.User,
    origin: Path,
    cluster: files.Cluster,
    ca: bytes | None,
    environment: Mapping[str, str],
    clock: Clock,
) -> CredentialSource:
    if user.auth_provider is not None:
        raise KubeConfigError(
            "the user's auth-provider no longer exists in Kubernetes; use its exec plugin instead"
        )
    if user.as_user is not None:
        raise KubeConfigError("the user impersonates another one (as: …), which is not supported")
    if user.exec is not None:
        return ExecPlugin(_exec_spec(user.exec, origin, cluster, ca), clock, environment)
    certificate = _inline_certificate(user, origin, clock)
    cert_file = key_file = None
    if certificate is None and (user.client_certificate or user.client_key):
        if not user.client_certificate or not user.client_key:
            raise KubeConfigError(
                "a client certificate needs both client-certificate and client-key"
            )
        cert_file = _relative(user.client_certificate, origin)
        key_file = _relative(user.client_key, origin)
    token_file = _relative(user.token_file, origin) if user.token_file else None
    if token_file or cert_file:
        return FileCredentials(
            clock,
            token_file=token_file,
            cert_file=cert_file,
            key_file=key_file,
            authorization=None if token_file else _authorization(user),
            certificate=certificate,
        )
    return StaticCredentials(_authorization(user), certificate)


def _authorization(user: files.User) -> bytes | None:
    if user.token:
        return bearer(Secret(user.token))
    if user.username and user.password is not None:
        return basic(user.username, Secret(user.password))
    return None


def _inline_certificate(user: files.User, origin: Path, clock: Clock) -> ClientCertificate | None:
    """Return a certificate of which at least one half is in the kubeconfig itself."""
    if not user.client_certificate_data and not user.client_key_data:
        return None
    if user.client_certificate_data:
        chain = _decode(user.client_certificate_data, "client-certificate-data")
    elif user.client_certificate:
        chain = read_pem(_relative(user.client_certificate, origin), "client-certificate")
    else:
        raise KubeConfigError("client-key-data without a client certificate")
    if user.client_key_data:
        key = _decode(user.client_key_data, "client-key-data")
    elif user.client_key:
        key = read_pem(_relative(user.client_key, origin), "client-key")
    else:
        raise KubeConfigError("client-certificate-data without a client key")
    certificate = ClientCertificate(chain, Secret(key), "client certificate in the kubeconfig")
    check_not_expired(certificate, clock)
    return certificate


def _exec_spec(
    plugin: files.Exec, origin: Path, cluster: files.Cluster, ca: bytes | None
) -> ExecSpec:
    if plugin.api_version not in API_VERSIONS:
        known = " or ".join(API_VERSIONS)
        raise KubeConfigError(
            f"the exec plugin's apiVersion is {plugin.api_version[:60]!r}; supported is {known}"
        )
    if not plugin.command:
        raise KubeConfigError("the exec plugin has no command")
    if plugin.interactive_mode == "Always":
        raise KubeConfigError("the exec plugin wants a terminal (interactiveMode: Always)")
    # As kubectl: a bare name is looked up in PATH, a path is relative to the kubeconfig.
    command = plugin.command
    if "/" in command:
        command = _relative(command, origin)
    return ExecSpec(
        api_version=plugin.api_version,
        command=command,
        args=tuple(plugin.args or ()),
        env=tuple((variable.name, variable.value) for variable in plugin.env or ()),
        install_hint=plugin.install_hint or "",
        cluster=_cluster_info(cluster, ca) if plugin.provide_cluster_info else None,
    )


def _cluster_info(cluster: files.Cluster, ca: bytes | None) -> dict[str, Any]:
    """Return `spec.cluster` of the request to an exec plugin."""
    info: dict[str, Any] = {"server": cluster.server}
    if cluster.tls_server_name:
        info["tls-server-name"] = cluster.tls_server_name
    if cluster.insecure_skip_tls_verify:
        info["insecure-skip-tls-verify"] = True
    if ca is not None:
        info["certificate-authority-data"] = base64.b64encode(ca).decode("ascii")
    if cluster.proxy_url:
        info["proxy-url"] = cluster.proxy_url
    for extension in cluster.extensions or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = extension.get("extension")
    return info


def _decode(text: str, key: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError) as error:
        raise KubeConfigError(f"{key} is not base64") from error


def _relative(path: str, origin: Path) -> str:
    return str(origin.parent / path)


def _pod_namespace(directory: str) -> str:
    try:
        return Path(directory, "namespace").read_text("utf-8").strip() or "default"
    except OSError:
        return "default"


def _names(contexts: Mapping[str, object]) -> str:
    shown = sorted(contexts)[:20]
    return (
        ", ".join(shown) + (", …" if len(contexts) > 20 else "") if shown else "none (it has none)"
    )
