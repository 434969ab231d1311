"""Removes the state an agent keeps in files, so that it registers anew.

usage: clean_state.py [ROOT]     (default /, the working directory counts too)
"""

import sys
from pathlib import Path

HERE = (
    "tmp/agent-state.yaml", ".pipeops-agent-state.yaml", ".pipeops-agent-id", ".pipeops-cluster-id",
    ".pipeops-cluster-token",
)  # fmt: skip
SYSTEM = ("agent-state.yaml", "agent-id", "cluster-id", "cluster-token")


def candidates(root: Path) -> list[Path]:
    """Return every place where state may be, also of older agents and what was migrated from them."""
    places = [Path(name) for name in HERE]
    for directory in ("var/lib/pipeops", "etc/pipeops"):
        places += [root / directory / name for name in SYSTEM]
    return places + [place.with_name(f"{place.name}.migrated") for place in places]


def main(arguments: list[str]) -> int:
    """Remove what is there; 1 if something could not be removed."""
    code = 0
    for path in candidates(Path(arguments[0] if arguments else "/")):
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)
            code = 1
        else:
            print(f"removed {path}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
