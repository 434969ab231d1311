"""ApiClient: the operators' API, with answers as plain data and errors as CliError."""

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import httpx

from pipeops.cli.connection import explain, open_client
from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.profile import Profile
from pipeops.runtime.secrets import Secret

Json = dict[str, Any]

_CODES = {
    401: ExitCode.REFUSED,
    403: ExitCode.REFUSED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    503: ExitCode.UNREACHABLE,
}


class ApiClient:
    """Blocking client; close it, or use it as a context manager.

    Every method raises `CliError`, with an exit code that fits, when it does not succeed.
    """

    def __init__(self, profile: Profile, client: httpx.Client | None = None) -> None:
        self.profile = profile
        self._client = client or open_client(profile)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def version(self) -> Json:
        """Return the control plane's version."""
        return self._call("GET", "/api/v1/version")

    def whoami(self) -> Json:
        """Return who the token belongs to."""
        return self._call("GET", "/api/v1/whoami")

    def clusters(self) -> list[Json]:
        """Return the clusters that the token may reach."""
        items: list[Json] = self._call("GET", "/api/v1/clusters")["items"]
        return items

    def cluster(self, name: str) -> Json:
        """Return one cluster."""
        return self._call("GET", f"/api/v1/clusters/{_segment(name)}")

    def add_cluster(self, name: str, expires_in: float | None = None) -> Json:
        """Add a cluster; the answer holds its token."""
        return self._call("POST", "/api/v1/clusters", {"name": name, "expires_in": expires_in})

    def remove_cluster(self, name: str) -> None:
        """Remove a cluster."""
        self._call("DELETE", f"/api/v1/clusters/{_segment(name)}")

    def issue_cluster_token(
        self, name: str, *, expires_in: float | None = None, revoke_others: bool = False
    ) -> Json:
        """Issue another token of a cluster; the answer holds it."""
        body = {"expires_in": expires_in, "revoke_others": revoke_others}
        return self._call("POST", f"/api/v1/clusters/{_segment(name)}/tokens", body)

    def forwards(self) -> list[Json]:
        """Return the forwards of the clusters that the token may reach."""
        items: list[Json] = self._call("GET", "/api/v1/forwards")["items"]
        return items

    def add_forward(self, cluster: str, body: Json) -> Json:
        """Forward a port to a Service of a cluster."""
        return self._call("POST", f"/api/v1/clusters/{_segment(cluster)}/forwards", body)

    def remove_forward(self, cluster: str, name: str) -> None:
        """Remove a forward."""
        path = f"/api/v1/clusters/{_segment(cluster)}/forwards/{_segment(name)}"
        self._call("DELETE", path)

    def certificates(self) -> Json:
        """Return the certificates of the public gateway, orders and problems."""
        return self._call("GET", "/api/v1/certificates")

    def upload_certificate(self, host: str, chain: str, key: Secret[str]) -> Json:
        """Put a certificate in force for a host; both PEM."""
        body = {"certificate": chain, "key": key.reveal()}
        return self._call("PUT", f"/api/v1/certificates/{_segment(host)}", body)

    def remove_certificate(self, host: str) -> Json:
        """Remove a certificate."""
        return self._call("DELETE", f"/api/v1/certificates/{_segment(host)}")

    def renew_certificate(self, host: str) -> None:
        """Order a certificate at once."""
        self._call("POST", f"/api/v1/certificates/{_segment(host)}/renew")

    def routes(self, cluster: str | None = None) -> list[Json]:
        """Return the routes of the clusters that the token may reach, or of one of them."""
        return self._pages("/api/v1/routes", cluster)

    def dns_records(self, cluster: str | None = None) -> list[Json]:
        """Return the DNS records that the hosts of these routes should have."""
        return self._pages("/api/v1/gateway/dns", cluster)

    def _pages(self, path: str, cluster: str | None) -> list[Json]:
        items: list[Json] = []
        query = {} if cluster is None else {"cluster": cluster}
        while True:
            page = self._call("GET", f"{path}?{urlencode(query)}" if query else path)
            items += page["items"]
            if page["next"] is None:
                return items
            query["after"] = page["next"]

    def domains(self) -> Json:
        """Return the domains of those clusters, the rule for others, and who was refused."""
        return self._call("GET", "/api/v1/domains")

    def allow_domain(self, cluster: str, domain: str) -> Json:
        """Allow a cluster to use a domain."""
        path = f"/api/v1/clusters/{_segment(cluster)}/domains"
        return self._call("POST", path, {"domain": domain})

    def verify_domain(self, cluster: str, domain: str) -> Json:
        """Have the proof of a domain looked for."""
        path = f"/api/v1/clusters/{_segment(cluster)}/domains/{_segment(domain)}/verify"
        return self._call("POST", path)

    def revoke_domain(self, cluster: str, domain: str) -> None:
        """Take a domain from a cluster."""
        self._call("DELETE", f"/api/v1/clusters/{_segment(cluster)}/domains/{_segment(domain)}")

    def tokens(self) -> list[Json]:
        """Return all user tokens, without their secrets."""
        items: list[Json] = self._call("GET", "/api/v1/tokens")["items"]
        return items

    def create_token(self, body: Json) -> Json:
        """Create a user token; the answer holds it."""
        return self._call("POST", "/api/v1/tokens", body)

    def revoke_token(self, token_id: str) -> None:
        """Revoke a user token."""
        self._call("DELETE", f"/api/v1/tokens/{_segment(token_id)}")

    def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.TransportError as error:
            raise explain(error, self.profile) from error
        if answer.status_code == 204:
            return {}
        document = _document(answer)
        if answer.is_success and document is not None:
            return document
        raise self._failure(answer, document)

    def _failure(self, answer: httpx.Response, document: Json | None) -> CliError:
        if document is None or not isinstance(document.get("error"), str):
            return CliError(
                f"{self.profile.server} answered HTTP {answer.status_code}, "
                "but not as a PipeOps control plane would",
                hint=f"check the address (it came from {self.profile.origin}); "
                "a proxy or another server may be in between",
                code=ExitCode.UNREACHABLE,
            )
        hint = str(document.get("hint") or "")
        if answer.status_code == 401 and self.profile.token is None:
            hint = "give --token-file or PIPEOPS_USER_TOKEN"
        elif answer.status_code >= 500 and document.get("request_id"):
            hint = f"{hint} (request {document['request_id']})".strip()
        code = _CODES.get(answer.status_code, ExitCode.FAILED)
        return CliError(str(document["error"]), hint=hint, code=code)


def _document(answer: httpx.Response) -> Json | None:
    try:
        document = answer.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _segment(text: str) -> str:
    """Return the text as one path segment: whatever it contains, it cannot leave its place."""
    quoted = quote(text, safe="").replace(".", "%2E")
    if not quoted:
        raise CliError("the name is empty", code=ExitCode.USAGE)
    return quoted
