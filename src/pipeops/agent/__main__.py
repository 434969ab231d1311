"""`python -m pipeops.agent`: the same as `pipeops-agent`."""

import sys

from pipeops.agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
