"""Answers requests below /openapi."""

from pipeops.sim.http import Response
from pipeops.sim.negotiation import Form, encode
from pipeops.sim.openapi.documents import Documents
from pipeops.sim.openapi.protobuf import MEDIA_TYPE


def openapi_answer(documents: Documents, parts: list[str], accept: str) -> Response | None:
    """The document at a path (split at slashes, `openapi` first); None when there is none."""
    if parts == ["openapi", "v3"]:
        return Response(200, encode(documents.index(), Form()))
    if parts == ["openapi", "v2"]:
        if "spec.v2" in accept:
            return Response(200, documents.v2(protobuf=True), MEDIA_TYPE)
        return Response(200, documents.v2())
    body = None
    if parts[:3] == ["openapi", "v3", "api"] and len(parts) == 4:
        body = documents.v3("", parts[3])
    elif parts[:3] == ["openapi", "v3", "apis"] and len(parts) == 5:
        body = documents.v3(parts[3], parts[4])
    return Response(200, body) if body is not None else None
