"""The agent, but every Service is on this machine's loopback interface, which it refuses to dial otherwise."""

import sys
from typing import Any

from pipeops.agent import targets
from pipeops.agent.cli import main


async def _loopback(host: str, _port: int) -> list[str]:
    if host.startswith("kubernetes."):
        raise OSError("no such name")  # else everything on loopback were the API server
    return ["127.0.0.1"]


def _everywhere(_address: str) -> bool:
    return True


def _patch() -> None:
    made = targets.TargetResolver.__init__

    def init(self: targets.TargetResolver, *args: Any, **more: Any) -> None:
        made(self, *args, **more)
        self.lookup = _loopback
        self.allowed = _everywhere

    targets.TargetResolver.__init__ = init  # type: ignore[method-assign]


if __name__ == "__main__":
    _patch()
    sys.exit(main())
