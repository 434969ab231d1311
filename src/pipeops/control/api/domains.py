"""Routes for domains: which cluster may use which, and who was refused what."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import FastAPI
from pydantic import AfterValidator, BaseModel, ConfigDict

from pipeops.control.api.access import Caller, Services
from pipeops.control.api.bodies import moment
from pipeops.control.api.clusters import note, reachable
from pipeops.control.api.gateway import gateway_of
from pipeops.control.api.problems import Problem
from pipeops.control.api.services import GatewayServices
from pipeops.control.routes.host import check_host
from pipeops.control.routes.ownership import ANY_HOST, domain_of
from pipeops.control.routes.refusals import RefusedHost
from pipeops.control.routes.upkeep import DomainRefused, NotProven
from pipeops.control.routes.wanted import ClusterRef
from pipeops.control.store.domains import DomainGrant, Origin
from pipeops.control.store.records import Cluster


def check_domain(text: str) -> str:
    """Return a domain's normal spelling; `*.` in front is left out, since what is below is meant anyway.

    Raises:
        ValueError: It is no DNS name.
    """
    return domain_of(check_host(text))


def check_allowed(text: str) -> str:
    """Return the normal spelling of what an operator may allow: a domain, or `*` for hosts that no route names.

    Raises:
        ValueError: It is neither.
    """
    return text if text == ANY_HOST else check_domain(text)


def _check_held(text: str) -> str:
    return text if text == ANY_HOST else check_host(text)


Domain = Annotated[str, AfterValidator(check_allowed)]


class NewDomain(BaseModel):
    """Asks for a domain, with everything below it, for a cluster; `*`: for hosts that no route names."""

    model_config = ConfigDict(extra="forbid")

    domain: Domain


class DomainBody(BaseModel):
    """A domain that a cluster may use. `origin` is `operator` or `proof`; `counts` is false where only operators decide."""

    domain: str
    cluster: str
    origin: str
    granted_by: str
    created_at: datetime
    counts: bool

    @classmethod
    def of(cls, grant: DomainGrant, gateway: GatewayServices) -> "DomainBody":
        """Present a grant."""
        return cls(
            domain=grant.domain,
            cluster=grant.cluster,
            origin=grant.origin.value,
            granted_by=grant.granted_by,
            created_at=moment(grant.created_at),
            counts=grant in gateway.registry.ownership.covering(grant.domain),
        )


class RefusedHostBody(BaseModel):
    """Attempts of a cluster to get a host that it may not have; `*`: hosts that no route names."""

    host: str
    cluster: str
    reason: str
    count: int
    first_at: datetime
    last_at: datetime

    @classmethod
    def of(cls, refused: RefusedHost) -> "RefusedHostBody":
        """Present an entry of the log."""
        return cls(
            host=refused.host or ANY_HOST,
            cluster=refused.cluster,
            reason=refused.reason.value,
            count=refused.count,
            first_at=moment(refused.first_at),
            last_at=moment(refused.last_at),
        )


class DomainListBody(BaseModel):
    """Domains by name, the rule for hosts that none of them covers, and the latest refusals."""

    rule: str
    items: list[DomainBody]
    refused: list[RefusedHostBody]


async def list_domains(services: Services, caller: Caller) -> DomainListBody:
    """List domains and refused hosts of the clusters that the caller may reach."""
    gateway = gateway_of(services)
    grants = sorted(gateway.registry.ownership.grants(), key=lambda one: (one.domain, one.cluster))
    return DomainListBody(
        rule=gateway.registry.ownership.rule.value,
        items=[DomainBody.of(one, gateway) for one in grants if caller.may_reach(one.cluster)],
        refused=[
            RefusedHostBody.of(one)
            for one in gateway.registry.refusals.latest()
            if caller.may_reach(one.cluster)
        ],
    )


async def allow_domain(
    services: Services, caller: Caller, name: str, body: NewDomain
) -> DomainBody:
    """Allow a cluster to use a domain and everything below it; clusters without it lose what they have there."""
    cluster = await reachable(services, caller, name)
    gateway = gateway_of(services)
    grant = await gateway.registry.grant(
        _ref(cluster), body.domain, Origin.OPERATOR, caller.principal.user
    )
    note("domain allowed", caller, cluster, domain=body.domain)
    return DomainBody.of(grant, gateway)


async def verify_domain(services: Services, caller: Caller, name: str, domain: str) -> DomainBody:
    """Look for the TXT record that proves a domain to be the cluster's, and grant it if it is there."""
    cluster = await reachable(services, caller, name)
    gateway = gateway_of(services)
    try:
        grant = await gateway.upkeep.prove(_ref(cluster), _checked(domain))
    except NotProven as error:
        status, reason = (503, "Unavailable") if error.unknown else (409, "Conflict")
        raise Problem(status, reason, str(error), hint=error.hint) from error
    except DomainRefused as error:
        raise Problem(409, "Conflict", str(error), hint=error.hint) from error
    note("domain verified", caller, cluster, domain=grant.domain)
    return DomainBody.of(grant, gateway)


async def revoke_domain(services: Services, caller: Caller, name: str, domain: str) -> None:
    """Take a domain, or a host that it holds without one, from a cluster: its routes there are served no more."""
    cluster = await reachable(services, caller, name)
    normal = _checked(domain, _check_held)
    await gateway_of(services).registry.revoke(_ref(cluster), normal)
    note("domain revoked", caller, cluster, domain=normal)


def _ref(cluster: Cluster) -> ClusterRef:
    return ClusterRef(cluster.id, cluster.name)


def _checked(domain: str, check: Callable[[str], str] = check_domain) -> str:
    try:
        return check(domain)
    except ValueError as error:
        raise Problem(400, "Invalid", f"domain: {error}") from error


def install(app: FastAPI) -> None:
    """Add the routes; who may call them is in `access.ACCESS`."""
    app.add_api_route("/api/v1/domains", list_domains, methods=["GET"], tags=["domains"])
    prefix = "/api/v1/clusters/{name}/domains"
    app.add_api_route(prefix, allow_domain, methods=["POST"], status_code=201, tags=["domains"])
    app.add_api_route(
        f"{prefix}/{{domain}}/verify", verify_domain, methods=["POST"], tags=["domains"]
    )
    app.add_api_route(
        f"{prefix}/{{domain}}", revoke_domain, methods=["DELETE"], status_code=204, tags=["domains"]
    )
