"""Runs a fuzz target: with atheris where it is installed, else by replay and random mutation.

A target is a module with a function `check(data: bytes) -> None` that raises if its invariant
breaks, and a corpus folder of the same name:

    python tests/fuzz/fuzz_mux.py                      # corpus and 2,000 mutations, plain Python
    python tests/fuzz/fuzz_mux.py --runs 100000 --seed 7
    python tests/fuzz/fuzz_mux.py --atheris -max_total_time=60   # what follows goes to libFuzzer

An input that breaks the invariant is written to `crash-<hash>` in the working directory.
"""

import argparse
import hashlib
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

#: Longer inputs find nothing that shorter ones do not, only later.
MAX_INPUT = 4_096

#: Numbers at which parsers change their mind.
EDGES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 64, 127, 128, 254, 255)


def seeds(name: str) -> list[bytes]:
    """The corpus of a target, in a fixed order."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def mutate(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to six small changes, of the kinds libFuzzer makes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        position = rng.randrange(len(changed) + 1)
        match rng.randrange(7):
            case 0:
                changed[position : position + rng.randint(1, 16)] = b""
            case 1:
                changed[position:position] = rng.randbytes(rng.randint(1, 16))
            case 2:
                changed[position : position + 1] = bytes([rng.choice(EDGES)])
            case 3:
                changed[position : position + 1] = bytes([rng.randrange(256)])
            case 4:
                changed[position : position + 4] = rng.choice(EDGES).to_bytes(4, "big")
            case 5:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                changed[position:position] = other[start : start + rng.randint(1, 64)]
            case _:
                changed[position:position] = changed[position : position + rng.randint(1, 32)]
    return bytes(changed[:MAX_INPUT])


def replay(name: str, check: Callable[[bytes], None], *, runs: int, seed: int) -> None:
    """Check the corpus, then `runs` mutations of it; the seed makes it repeatable."""
    corpus = seeds(name)
    rng = random.Random(seed)
    for data in corpus:
        _checked(check, data)
    for _ in range(runs):
        data = rng.choice(corpus)
        for _ in range(rng.randint(1, 4)):
            data = mutate(data, corpus, rng)
        _checked(check, data)


def main(name: str, check: Callable[[bytes], None]) -> None:
    """Command line of a target."""
    if "--atheris" in sys.argv:
        import atheris  # noqa: PLC0415 -- optional: it has no wheel for every Python

        sys.argv.remove("--atheris")
        atheris.instrument_all()
        # libFuzzer adds what it finds to the first folder, so that is not the one in the repository.
        found = tempfile.mkdtemp(prefix=f"fuzz-{name}-")
        atheris.Setup([*sys.argv, f"-max_len={MAX_INPUT}", found, str(CORPUS / name)], check)
        atheris.Fuzz()
        return
    parser = argparse.ArgumentParser(description=f"fuzz {name} without atheris")
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"{name}: corpus of {len(seeds(name))}, {options.runs} mutations, seed {options.seed}")
    replay(name, check, runs=options.runs, seed=options.seed)


def _checked(check: Callable[[bytes], None], data: bytes) -> None:
    try:
        check(data)
    except BaseException:
        path = Path(f"crash-{hashlib.sha256(data).hexdigest()[:12]}")
        path.write_bytes(data)
        print(f"invariant broken; input kept in {path}", file=sys.stderr)
        raise
