"""What outlives a restart: the CA, the tokens and the signing key; and the kubeconfigs."""

import base64
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from pipeops.sim.certificates import Authority
from pipeops.sim.negotiation import dump_yaml
from pipeops.sim.objects import JsonObject

STATE_FILE = "sim.json"


def write_private(path: Path, data: bytes) -> None:
    """Replace a file in one step, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The cluster's identity towards its clients."""

    authority: Authority
    admin_token: str
    agent_token: str
    signing_key: bytes

    def __repr__(self) -> str:
        return "Credentials(***)"

    @classmethod
    def create(cls, now: float) -> "Credentials":
        """New ones."""
        tokens = [f"sim-{secrets.token_urlsafe(32)}" for _ in range(2)]
        return cls(Authority.create(now), tokens[0], tokens[1], secrets.token_bytes(32))

    @classmethod
    def load(cls, directory: Path | None, now: float) -> "Credentials":
        """Those of an earlier run in `directory`, or new ones, kept there when it is given."""
        if directory is None:
            return cls.create(now)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / STATE_FILE
        if path.exists():
            held = json.loads(path.read_text())
            authority = Authority(held["ca"].encode(), held["ca_key"].encode())
            key = base64.b64decode(held["signing_key"])
            return cls(authority, held["admin_token"], held["agent_token"], key)
        made = cls.create(now)
        document = {
            "ca": made.authority.certificate.decode(),
            "ca_key": made.authority.key.decode(),
            "admin_token": made.admin_token,
            "agent_token": made.agent_token,
            "signing_key": base64.b64encode(made.signing_key).decode(),
        }
        write_private(path, json.dumps(document, indent=1).encode())
        return made


def kubeconfig(server: str, ca: bytes | None, user: str, token: str) -> bytes:
    """A kubeconfig with one context named `pipeops-sim`."""
    cluster: JsonObject = {"server": server}
    if ca is not None:
        cluster["certificate-authority-data"] = base64.b64encode(ca).decode()
    name = "pipeops-sim"
    return dump_yaml(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        }
    )
