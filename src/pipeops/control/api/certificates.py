"""Routes for certificates of the public gateway; keys come in and never go out."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from pipeops.control.api.access import Caller, Services
from pipeops.control.api.bodies import at, moment
from pipeops.control.api.problems import Problem
from pipeops.control.api.services import ApiServices, CertificateKeeper
from pipeops.control.certificates.certificate import CertificateError
from pipeops.control.certificates.orders import OrderStatus
from pipeops.control.certificates.service import CertificateStatus
from pipeops.runtime.secrets import Secret


class CertificateBody(BaseModel):
    """A certificate. `host` is what it was uploaded or issued for, or its file's name; `problem` is empty if all is well."""

    host: str
    source: Literal["upload", "file", "acme"]
    names: list[str]
    issuer: str
    not_before: datetime
    not_after: datetime
    renews_at: datetime | None
    fingerprint_sha256: str
    added_by: str
    problem: str

    @classmethod
    def of(cls, status: CertificateStatus) -> "CertificateBody":
        """Present a certificate, without its key."""
        certificate = status.certificate
        return cls(
            host=certificate.label,
            source=certificate.source.value,
            names=list(certificate.names),
            issuer=certificate.issuer,
            not_before=moment(certificate.not_before),
            not_after=moment(certificate.not_after),
            renews_at=at(status.renews_at),
            fingerprint_sha256=certificate.fingerprint,
            added_by=status.added_by,
            problem=status.problem,
        )


class OrderBody(BaseModel):
    """A host that a certificate is ordered for, or should be."""

    host: str
    state: Literal["ordering", "failed", "waiting"]
    problem: str
    failures: int
    next_attempt_at: datetime | None

    @classmethod
    def of(cls, status: OrderStatus) -> "OrderBody":
        """Present an order."""
        return cls(
            host=status.host,
            state=status.state,
            problem=status.problem,
            failures=status.failures,
            next_attempt_at=at(status.next_attempt_at),
        )


class CertificateProblemBody(BaseModel):
    """What is wrong with a file, with a stored certificate, or with the ACME server (`acme`)."""

    concerns: str
    problem: str


class CertificateListBody(BaseModel):
    """Certificates in force, by host; what is on its way; what is wrong."""

    items: list[CertificateBody]
    orders: list[OrderBody]
    problems: list[CertificateProblemBody]


class NewCertificate(BaseModel):
    """A chain, leaf first, and its unencrypted private key, both PEM."""

    model_config = ConfigDict(extra="forbid")

    certificate: Annotated[str, Field(max_length=60_000)]
    key: Annotated[SecretStr, Field(max_length=20_000)]


class RemovedCertificateBody(BaseModel):
    """What was removed; another certificate for the host may be in force now."""

    host: str
    source: Literal["upload", "acme"]


async def list_certificates(services: Services) -> CertificateListBody:
    """List certificates, orders and problems."""
    keeper = _keeper(services)
    return CertificateListBody(
        items=[CertificateBody.of(one) for one in keeper.status()],
        orders=[OrderBody.of(one) for one in keeper.order_status()],
        problems=[
            CertificateProblemBody(concerns=concerns, problem=problem)
            for concerns, problem in sorted(keeper.problems().items())
        ],
    )


async def upload_certificate(
    services: Services, caller: Caller, host: str, body: NewCertificate
) -> CertificateBody:
    """Put a certificate in force for a host, in place of an earlier upload; it goes before files and ACME."""
    keeper = _keeper(services)
    key = Secret(body.key.get_secret_value().encode())
    try:
        status = await keeper.upload(host, body.certificate.encode(), key, by=caller.principal.user)
    except CertificateError as error:
        raise Problem(400, "Invalid", str(error)) from error
    return CertificateBody.of(status)


async def remove_certificate(
    services: Services, caller: Caller, host: str
) -> RemovedCertificateBody:
    """Remove the upload of a host; without one what ACME issued, which is ordered anew if it is still wanted."""
    try:
        source = await _keeper(services).remove(host, by=caller.principal.user)
    except CertificateError as error:
        raise Problem(400, "Invalid", str(error)) from error
    return RemovedCertificateBody(host=host, source="acme" if source == "acme" else "upload")


async def renew_certificate(services: Services, host: str) -> None:
    """Order at once for a wanted host, whatever certificate it has and whatever failed before."""
    try:
        _keeper(services).renew(host)
    except CertificateError as error:
        raise Problem(400, "Invalid", str(error)) from error


def _keeper(services: ApiServices) -> CertificateKeeper:
    if services.certificates is None:
        raise Problem(404, "NotFound", "this control plane serves no public hosts")
    return services.certificates


def install(app: FastAPI) -> None:
    """Add the routes; who may call them is in `access.ACCESS`."""
    one = "/api/v1/certificates/{host}"
    tags = ["certificates"]
    app.add_api_route("/api/v1/certificates", list_certificates, methods=["GET"], tags=list(tags))
    app.add_api_route(one, upload_certificate, methods=["PUT"], tags=list(tags))
    app.add_api_route(one, remove_certificate, methods=["DELETE"], tags=list(tags))
    app.add_api_route(
        f"{one}/renew", renew_certificate, methods=["POST"], status_code=204, tags=list(tags)
    )
