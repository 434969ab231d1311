"""The agent's program, which here may connect to Services on loopback: a test has no other network."""

import sys

from pipeops.agent import targets
from pipeops.agent.cli import main

if __name__ == "__main__":
    targets.is_allowed = lambda address: address.startswith("127.")
    sys.exit(main())
