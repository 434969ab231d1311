"""Entry point: python -m pipeops.control."""

import sys

from pipeops.control.cli import main

if __name__ == "__main__":
    sys.exit(main())
