"""The next calls, from what is wanted and what was confirmed."""

from typing import Any

import pytest

from pipeops.agent.ingress.plan import MOST_SINGLE, MOST_WITHDRAWN, Plan, Refusal, next_calls
from pipeops.agent.ingress.routes import RouteSpec
from tests.unit.agent.ingress.making import spec


def by_key(*routes: RouteSpec) -> Any:
    return {route.key: route for route in routes}


A, AX, B, A81 = spec(), spec(at="/x"), spec("b.test", source="b"), spec(port=81)
MANY = [spec(f"h{number}.test", source=f"s{number}") for number in range(MOST_SINGLE + 1)]


def plan(
    desired: Any, acked: Any, *, refused: Any = None, hosts: Any = None, told: Any = (), **more: Any
) -> Plan:
    known = {*acked, *told}
    more = {"sync_due": False, "single": False, **more}
    hosts = {key.host for key in acked} if hosts is None else hosts
    return next_calls(desired, acked, refused or {}, known, hosts, **more)


@pytest.mark.parametrize(
    ("desired", "acked", "expected"),
    [
        ([], [], Plan()),
        ([A], [A], Plan()),
        ([A], [], Plan(registers=(A,))),
        ([A81], [A], Plan(registers=(A81,))),
        ([], [A], Plan(withdrawals=("a.test",))),
        ([A], [A, B], Plan(withdrawals=("b.test",))),
        ([A], [A, AX], Plan(sync=True)),
        (MANY, [], Plan(sync=True)),
        (MANY[1:], [], Plan(registers=tuple(MANY[1:]))),
    ],
)
def test_differences(desired: Any, acked: Any, expected: Plan) -> None:
    found = plan(by_key(*desired), by_key(*acked))
    assert found == expected
    assert bool(found) is (found != Plan())


def test_many_hosts_that_are_gone_are_one_call_first_and_then_a_few_at_a_time() -> None:
    found = plan({}, by_key(*MANY))
    assert (found.sync, len(found.withdrawals), found.more) == (True, MOST_WITHDRAWN, True)


def test_what_was_refused_is_not_asked_for_again() -> None:
    refused = {A.key: Refusal(A, "no")}
    assert plan(by_key(A), {}, refused=refused) == Plan()
    assert plan(by_key(A81), {}, refused=refused) == Plan(registers=(A81,))


def test_a_refused_route_that_is_not_wanted_any_more_is_left_out_of_everything() -> None:
    """Its registry may wait for a proof; and a host of another cluster must not be withdrawn."""
    assert plan(by_key(A), by_key(A), told=[B.key]) == Plan(sync=True)
    assert plan(by_key(A), by_key(A), told=[B.key], single=True) == Plan()
    assert plan(by_key(A), {}, told=[A.key, AX.key], hosts=set(), single=True).withdrawals == ()


def test_hosts_of_an_earlier_run_are_withdrawn() -> None:
    found = plan(by_key(A), {}, hosts={"a.test", "old.test"}, sync_due=True)
    assert found == Plan(sync=True, withdrawals=("old.test",))


def test_without_a_call_for_everything_a_narrowed_host_goes_and_comes_back() -> None:
    found = plan(by_key(A, B), by_key(A, AX), single=True)
    assert found == Plan(registers=(B,), withdrawals=("a.test",), more=True)
    found = plan(by_key(*MANY), {}, single=True)
    assert (found.sync, len(found.registers), found.more) == (False, MOST_SINGLE, True)
