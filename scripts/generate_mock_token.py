"""Writes a state file with a made-up ServiceAccount token, for running the agent without a cluster.

usage: generate_mock_token.py [FILE]     (default tmp/agent-state.yaml)
"""

import base64
import json
import os
import secrets
import sys
from pathlib import Path


def mock_token() -> str:
    """Return three random parts in the shape of a token; it is signed by nobody and opens nothing."""

    def part(content: object) -> str:
        text = json.dumps(content, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    head = {"alg": "RS256", "kid": secrets.token_hex(8), "typ": "JWT"}
    body = {
        "iss": "mock",
        "sub": "system:serviceaccount:pipeops-system:pipeops-agent",
        "jti": secrets.token_hex(16),
    }
    return f"{part(head)}.{part(body)}.{secrets.token_urlsafe(64)}"


def main(arguments: list[str]) -> int:
    """Write the file, readable by its owner only; an existing one keeps its ids."""
    path = Path(arguments[0] if arguments else "tmp/agent-state.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {"agent_id": '""', "cluster_id": '""'}
    if path.exists():
        for line in path.read_text().splitlines():
            name, colon, value = line.partition(":")
            if colon and name in kept:
                kept[name] = value.strip() or '""'
    lines = [f"{name}: {value}" for name, value in kept.items()]
    text = "\n".join([*lines, f"cluster_token: {mock_token()}"]) + "\n"
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)
    print(f"{path}: a mock token; `make clean-state` removes it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
