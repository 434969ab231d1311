"""Fuzz target: what the one-step readers of the PipeOps dialect take, the long way understands in the same way."""

from tests.fuzz import harness
from tests.support.two_ways import TwoWays


def check(data: bytes) -> None:
    ways = TwoWays()
    for _ in range(2):  # the second time the names are known
        ways.read_request(data)
        ways.read_answer(data)


if __name__ == "__main__":
    harness.main("usual", check)
