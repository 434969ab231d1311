"""Which kinds of Gateway API a cluster serves, and in which version: asked, since versions come and go."""

from typing import Final

import msgspec

from pipeops.agent.ingress.gateway_api import GROUP
from pipeops.kube.client import KubeClient
from pipeops.kube.errors import NotFound

#: Those that matter here, as resources.
RESOURCES: Final = ("httproutes", "grpcroutes", "gateways")
_MAX_VERSIONS: Final = 8


class _Version(msgspec.Struct, rename="camel"):
    group_version: str = ""


class _Group(msgspec.Struct, rename="camel"):
    versions: list[_Version] | None = None
    preferred_version: _Version | None = None


class _Resource(msgspec.Struct):
    name: str = ""


class _Resources(msgspec.Struct):
    resources: list[_Resource] | None = None


async def served(client: KubeClient) -> dict[str, str]:
    """Each resource of `RESOURCES` that is served, and the path of its collection over all namespaces.

    The server's own order of versions decides, the one it prefers first.

    Raises:
        KubeError: it does not tell, `Forbidden` included. That there is no such group is an answer.
    """
    try:
        group = await client.get(f"/apis/{GROUP}", _Group)
    except NotFound:
        return {}
    versions = [group.preferred_version] if group.preferred_version else []
    versions += group.versions or []
    found: dict[str, str] = {}
    for name in dict.fromkeys(each.group_version for each in versions[:_MAX_VERSIONS]):
        if all(resource in found for resource in RESOURCES):
            break
        if not name.startswith(f"{GROUP}/"):
            continue
        try:
            listed = await client.get(f"/apis/{name}", _Resources)
        except NotFound:
            continue
        for each in listed.resources or ():
            if each.name in RESOURCES:
                found.setdefault(each.name, f"/apis/{name}/{each.name}")
    return found
