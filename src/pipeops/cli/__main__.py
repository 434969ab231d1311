"""Entry point: python -m pipeops.cli."""

from pipeops.cli.main import main

if __name__ == "__main__":
    main()
