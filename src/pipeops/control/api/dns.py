"""Route that says what the domain name system should say of public hosts."""

import asyncio
import heapq
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel

from pipeops.control.api.access import Caller, Services
from pipeops.control.public_settings import PublicDns
from pipeops.control.routes.dns_records import DnsRecord, records_of
from pipeops.control.routes.registry import Asked
from pipeops.control.routes.route import Route

MAX_PAGE = 1000


class DnsRecordBody(BaseModel):
    """One record. `type` and `value` are null where it is not known what it should say; `reason` tells why, or why it leads there."""

    name: str
    type: Literal["A", "AAAA", "CNAME"] | None
    value: str | None
    ttl: int
    mode: Literal["direct", "tunnel"]
    reason: str
    cluster: str

    @classmethod
    def of(cls, record: DnsRecord) -> "DnsRecordBody":
        """Present a record."""
        return cls(
            name=record.name,
            type=record.type.value if record.type is not None else None,
            value=record.value,
            ttl=record.ttl,
            mode=record.mode.value,
            reason=record.reason,
            cluster=record.cluster,
        )


class DnsListBody(BaseModel):
    """Records by name; `next` asks for those of the names after the last one."""

    items: list[DnsRecordBody]
    next: str | None


async def list_records(
    services: Services,
    caller: Caller,
    cluster: Annotated[str | None, Query(max_length=63)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
    after: Annotated[str, Query(max_length=300)] = "",
) -> DnsListBody:
    """List the DNS records that served hosts should have, of the clusters that the caller may reach; `limit` counts names."""
    gateway = services.gateway
    if gateway is None:
        return DnsListBody(items=[], next=None)
    asked = [
        each
        for each in gateway.registry.asked()
        if cluster in (None, each.ref.name) and caller.may_reach(each.ref.name)
    ]
    # As for the list of routes: a large fleet takes longer than the loop may wait.
    records, more = await asyncio.to_thread(_page, asked, gateway.dns, after, limit)
    return DnsListBody(items=[DnsRecordBody.of(record) for record in records], next=more)


def _page(
    asked: Sequence[Asked], dns: PublicDns, after: str, limit: int
) -> tuple[list[DnsRecord], str | None]:
    """The records of the first names behind another, and the last of these names if there are more."""
    hosts: dict[str, list[Route]] = {}
    for each in asked:
        for route in each.routes:
            host = route.key.host
            if host > after and host not in each.refused:
                hosts.setdefault(host, []).append(route)
    names = heapq.nsmallest(limit + 1, hosts)
    page = {name: hosts[name] for name in names[:limit]}
    return records_of(page, dns), names[limit - 1] if len(names) > limit else None


def install(app: FastAPI) -> None:
    """Add the route; who may call it is in `access.ACCESS`."""
    app.add_api_route("/api/v1/gateway/dns", list_records, methods=["GET"], tags=["routes"])
