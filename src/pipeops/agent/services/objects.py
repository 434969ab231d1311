"""The members of Service and EndpointSlice that are needed to connect to a Service."""

from typing import Final
from urllib.parse import quote

import msgspec

MAX_SLICES: Final = 10  # of one Service, each of at most 1000 endpoints and usually 100

#: Annotation of a Service: "false" where its certificate cannot be verified although `services.ca_file` is set.
VERIFY_TLS: Final = "pipeops.io/verify-tls"


class Metadata(msgspec.Struct, frozen=True):
    """Of a Service."""

    annotations: dict[str, str] | None = None


class ServicePort(msgspec.Struct, frozen=True, rename="camel"):
    """One port of a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None


class ServiceSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Of a Service."""

    type: str = "ClusterIP"
    selector: dict[str, str] | None = None
    ports: list[ServicePort] | None = None
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")


class ServiceObject(msgspec.Struct, frozen=True):
    """A Service (core/v1)."""

    metadata: Metadata = Metadata()
    spec: ServiceSpec = ServiceSpec()

    @property
    def verify_tls(self) -> bool:
        """Whether its certificate is to be verified, where there is something to verify it with."""
        return (self.metadata.annotations or {}).get(VERIFY_TLS, "").lower() != "false"

    def port(self, number: int) -> ServicePort | None:
        """Its TCP port of this number."""
        for port in self.spec.ports or ():
            if port.port == number and port.protocol == "TCP":
                return port
        return None


class Conditions(msgspec.Struct, frozen=True):
    """Of an endpoint; None is "not known", which for `ready` counts as true."""

    ready: bool | None = None
    serving: bool | None = None


class SliceEndpoint(msgspec.Struct, frozen=True):
    """One endpoint of a slice; its addresses are of one pod, the first counts."""

    addresses: list[str] = msgspec.field(default_factory=list)
    conditions: Conditions = Conditions()


class SlicePort(msgspec.Struct, frozen=True):
    """One port of a slice, with the name of the Service's."""

    name: str | None = None
    port: int | None = None


class EndpointSlice(msgspec.Struct, frozen=True, rename="camel"):
    """Part of a Service's endpoints (discovery.k8s.io/v1)."""

    address_type: str = "IPv4"
    endpoints: list[SliceEndpoint] | None = None
    ports: list[SlicePort] | None = None


class EndpointSliceList(msgspec.Struct, frozen=True):
    """All of them."""

    items: list[EndpointSlice] | None = None


def service_path(namespace: str, name: str) -> str:
    """Where a Service is read."""
    return f"/api/v1/namespaces/{namespace}/services/{name}"


def slices_path(namespace: str, name: str) -> str:
    """Where its EndpointSlices are listed."""
    selector = quote(f"kubernetes.io/service-name={name}", safe="")
    return (
        f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        f"?labelSelector={selector}&limit={MAX_SLICES}"
    )


def addresses_of(slices: EndpointSliceList, port_name: str) -> list[tuple[str, int]]:
    """Addresses and ports of a Service's port: of ready endpoints, else of those that still serve (KEP-1672)."""
    ready: list[tuple[str, int]] = []
    serving: list[tuple[str, int]] = []
    for piece in slices.items or ():
        numbers = [port.port for port in piece.ports or () if (port.name or "") == port_name]
        if not numbers or numbers[0] is None or piece.address_type == "FQDN":
            continue
        for endpoint in piece.endpoints or ():
            if not endpoint.addresses:
                continue
            where = (endpoint.addresses[0], numbers[0])
            if endpoint.conditions.ready is not False:
                ready.append(where)
            elif endpoint.conditions.serving:
                serving.append(where)
    return ready or serving
