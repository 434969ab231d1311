"""Entry point: python -m pipeops.control."""

from pipeops.control.cli import main

if __name__ == "__main__":
    main()
