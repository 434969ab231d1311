"""State in a ConfigMap and a Secret of the agent's own namespace, with the Go agent's names, keys and labels."""

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pipeops.agent.state.fields import (
    CORRUPT,
    AgentState,
    StateDeniedError,
    StateError,
    is_sound,
)
from pipeops.kube.client import AccessQuestion, KubeClient
from pipeops.kube.errors import Conflict, Forbidden, KubeError, NotFound, Unauthorized
from pipeops.runtime.logs import get_logger
from pipeops.runtime.secrets import Secret

log = get_logger(__name__)

_MERGE: Final = "application/merge-patch+json"
_OPEN: Final = ("agent_id", "cluster_id", "gateway_ws_url", "gateway_hosts")
_SECRET: Final = ("cluster_token", "cluster_cert_data")
_LABELS: Final = {
    "app.kubernetes.io/name": "pipeops-agent",
    "app.kubernetes.io/managed-by": "pipeops-agent",
}
_ATTEMPTS: Final = 3


class StateObjects(msgspec.Struct, frozen=True):
    """Names of the two objects."""

    namespace: str
    config_map: str = "pipeops-agent-state"
    secret: str = "pipeops-agent-secrets"  # noqa: S105 - the object's name

    @property
    def lease(self) -> str:
        """Name of the Lease that goes with them: one for each installation."""
        return self.config_map.removesuffix("-state")


class _Object(msgspec.Struct):
    data: dict[str, str] | None = None


def state_objects(pod_namespace: str, environment: Mapping[str, str] = os.environ) -> StateObjects:
    """Return the names from the environment; `pod_namespace` is the ServiceAccount's, empty outside a pod."""
    default = StateObjects("")
    return StateObjects(
        namespace=environment.get("PIPEOPS_STATE_NAMESPACE")
        or pod_namespace
        or environment.get("PIPEOPS_POD_NAMESPACE")
        or "pipeops-system",
        config_map=environment.get("PIPEOPS_STATE_CONFIGMAP_NAME") or default.config_map,
        secret=environment.get("PIPEOPS_STATE_SECRET_NAME") or default.secret,
    )


class ClusterStore:
    """The two objects. Only our own keys are ever written; others' stay."""

    shared = True

    def __init__(self, client: KubeClient, objects: StateObjects) -> None:
        self._client = client
        self._objects = objects
        base = f"/api/v1/namespaces/{objects.namespace}"
        self._maps, self._secrets = f"{base}/configmaps", f"{base}/secrets"
        self._map = f"{self._maps}/{objects.config_map}"
        self._secret = f"{self._secrets}/{objects.secret}"

    @property
    def location(self) -> str:
        """See `StateStore`."""
        names = self._objects
        place = names.namespace
        return f"ConfigMap:{place}/{names.config_map}, Secret:{place}/{names.secret}"

    async def load(self) -> AgentState:
        """See `StateStore`."""
        try:
            plain = await self._read(self._map)
            if plain is None:
                await self._must_create()
            plain = plain or {}
            hidden = await self._read(self._secret) or {}
        except (Forbidden, Unauthorized) as error:
            raise StateDeniedError(f"state in {self.location}: {error}") from error
        except KubeError as error:
            raise StateError(f"state in {self.location}: {error}") from error
        token = await self._moved_token(plain, _decoded(hidden, "cluster_token"))
        await self._set_unsound_aside(plain)
        return AgentState(
            agent_id=plain.get("agent_id", ""),
            cluster_id=plain.get("cluster_id", ""),
            gateway_ws_url=plain.get("gateway_ws_url", ""),
            cluster_token=Secret(token),
            cluster_cert_data=_decoded(hidden, "cluster_cert_data"),
            gateway_hosts=plain.get("gateway_hosts", ""),
        )

    async def save(self, changes: dict[str, str]) -> None:
        """See `StateStore`. Members that belong to one process (`epoch`) are left out: replicas share this state."""
        plain = {key: value for key, value in changes.items() if key in _OPEN}
        hidden = {key: _encoded(value) for key, value in changes.items() if key in _SECRET}
        try:
            if plain:
                await self._merge(self._map, self._maps, "ConfigMap", plain)
            if hidden:
                await self._merge(self._secret, self._secrets, "Secret", hidden)
        except (Forbidden, Unauthorized, NotFound) as error:
            raise StateDeniedError(f"state in {self.location}: {error}") from error
        except KubeError as error:
            raise StateError(f"state in {self.location}: {error}") from error

    async def _read(self, path: str) -> dict[str, str] | None:
        try:
            return (await self._client.get(path, _Object)).data or {}
        except NotFound:
            return None

    async def _must_create(self) -> None:
        """Make sure at the start that the objects can be made: another place may hold the state.

        Raises:
            StateDeniedError: they cannot.
        """
        namespace = self._objects.namespace
        if not await self._client.may(AccessQuestion("create", "configmaps", namespace=namespace)):
            raise StateDeniedError(f"state in {self.location}: no right to create ConfigMaps")

    async def _merge(
        self, path: str, collection: str, kind: str, data: Mapping[str, str | None]
    ) -> None:
        """Patch our keys, or create the object; whoever is faster wins nothing, since keys are merged."""
        attempt = 0
        while True:
            attempt += 1
            try:
                await self._client.patch(path, {"data": data}, _Object, content_type=_MERGE)
                return
            except NotFound:
                pass
            except Conflict:
                if attempt >= _ATTEMPTS:
                    raise
                continue
            try:
                await self._client.post(collection, self._new(path, kind, data), _Object)
                return
            except Conflict:
                if attempt >= _ATTEMPTS:
                    raise

    def _new(self, path: str, kind: str, data: Mapping[str, str | None]) -> dict[str, Any]:
        component = "state" if kind == "ConfigMap" else "secrets"
        new: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {
                "name": path.rpartition("/")[2],
                "labels": {**_LABELS, "app.kubernetes.io/component": component},
            },
            "data": {key: value for key, value in data.items() if value is not None},
        }
        if kind == "Secret":
            new["type"] = "Opaque"
        return new

    async def _moved_token(self, plain: Mapping[str, str], token: str) -> str:
        """Move a token out of the ConfigMap, where the first Go agents kept it for everybody to read."""
        exposed = plain.get("cluster_token", "")
        if not exposed:
            return token
        try:
            if not token:
                await self.save({"cluster_token": exposed})
            await self._merge(self._map, self._maps, "ConfigMap", {"cluster_token": None})
        except (StateError, KubeError) as error:
            log.warning("a token in the state ConfigMap was not moved", problem=str(error))
        else:
            log.info("a token was moved from the state ConfigMap to the Secret")
        return token or exposed

    async def _set_unsound_aside(self, plain: dict[str, str]) -> None:
        for key in _OPEN:
            value = plain.get(key, "")
            if is_sound(key, value):
                continue
            log.error(
                "a stored value cannot be used; it was put aside", key=key, place=self.location
            )
            del plain[key]
            try:
                aside: dict[str, str | None] = {key: None, key + CORRUPT: value}
                await self._merge(self._map, self._maps, "ConfigMap", aside)
            except KubeError as error:
                raise StateDeniedError(
                    f"state in {self.location}: {key} is damaged and cannot be put aside: {error}"
                ) from error


def _decoded(data: Mapping[str, str], key: str) -> str:
    try:
        return base64.b64decode(data.get(key, ""), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        log.warning("a value of the state Secret is not readable", key=key)
        return ""


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode("ascii")
