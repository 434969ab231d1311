"""The agent's program, for which the documentation network 198.51.100.0/24 is this machine: a test has no other network.

The API server takes no endpoint on loopback, so a test gives its endpoints addresses of RFC 5737.
"""

import sys
from typing import Any

from pipeops.agent.cli import main
from pipeops.agent.proxy.pool import Address
from pipeops.agent.services import routes

NETWORK = "198.51.100."


def _address(host: str, *rest: Any) -> Address:
    return Address("127.0.0.1" if host.startswith(NETWORK) else host, *rest)


if __name__ == "__main__":
    routes.Address = _address  # type: ignore[assignment,misc]  # stands for the class where Services are dialled
    sys.exit(main())
