"""`python -m bench`: run the measures, print a table and JSON, tell by the exit code whether every budget held."""

import argparse
import signal
import sys
from pathlib import Path

from bench import report
from bench.measures import MEASURES, Plan
from bench.processes import BenchError
from bench.topology import Topology, missing_programs

EXIT_OVER_BUDGET, EXIT_UNUSABLE = 1, 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for CI")
    parser.add_argument("--only", action="append", choices=list(MEASURES), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="names of the measures")
    parser.add_argument("--rounds", type=int, help="rounds of interleaved measures")
    parser.add_argument("--seconds", type=float, help="length of one load run")
    parser.add_argument("--tls", choices=["plain", "tls", "both"], default="both")
    parser.add_argument("--json", type=Path, help="write the JSON here instead of standard output")
    return parser.parse_args()


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run; returns the exit code."""
    arguments = _arguments()
    if arguments.list:
        for name, measure in MEASURES.items():
            print(f"{name:16} {(measure.__doc__ or '').splitlines()[0]}")
        return 0
    missing = missing_programs()
    if missing:
        print(f"missing: {', '.join(missing)}; apt-get install nginx-light wrk", file=sys.stderr)
        return EXIT_UNUSABLE
    signal.signal(signal.SIGTERM, _interrupted)
    plan = Plan(
        rounds=arguments.rounds or (1 if arguments.quick else 3),
        seconds=arguments.seconds or (1.0 if arguments.quick else 2.0),
        quick=arguments.quick,
        legs={"plain": (False,), "tls": (True,), "both": (False, True)}[arguments.tls],
    )
    before = report.machine()
    results: list[report.Result] = []
    failed = []
    try:
        with Topology() as topology:
            for name in arguments.only or MEASURES:
                print(f"# {name} …", file=sys.stderr, flush=True)
                try:
                    results += MEASURES[name](topology, plan)
                except BenchError as error:
                    failed.append(name)
                    print(f"# {name} failed: {error}", file=sys.stderr)
                topology.processes.trim_logs()
    except KeyboardInterrupt:
        print("# interrupted; everything started has been ended", file=sys.stderr)
        return 130
    print(report.table(results))
    text = report.as_json(results, before)
    if arguments.json:
        arguments.json.write_text(text)
    else:
        print(f"\n{text}")
    over = [result.name for result in results if result.verdict == "FAIL"]
    for name in failed + over:
        print(f"# not reached: {name}", file=sys.stderr)
    return EXIT_OVER_BUDGET if failed or over else 0


if __name__ == "__main__":
    sys.exit(main())
