import msgspec
from structlog.testing import capture_logs

from pipeops.agent.cluster.objects import Meta
from pipeops.agent.cluster.tally import Tally
from pipeops.kube.watching import Change


class Thing(msgspec.Struct, gc=False):
    metadata: Meta
    colour: str


def thing(name: str, colour: str) -> Thing:
    return Thing(Meta(uid=name), colour)


def tally(limit: int = 100) -> Tally[Thing, str]:
    return Tally(lambda item: item.colour, limit=limit)


def fill(made: Tally[Thing, str], *things: Thing) -> None:
    made.begin()
    made.page(things)
    made.finish()


def test_objects_are_counted_by_shape() -> None:
    made = tally()
    assert not made.complete
    fill(made, thing("a", "red"), thing("b", "red"), thing("c", "blue"))
    assert made.complete
    assert dict(made) == {"red": 2, "blue": 1}
    assert len(made) == 3


def test_changes_move_objects_between_shapes() -> None:
    made = tally()
    fill(made, thing("a", "red"))
    made.change(Change.ADDED, thing("b", "blue"))
    made.change(Change.MODIFIED, thing("a", "blue"))
    assert dict(made) == {"blue": 2}
    made.change(Change.DELETED, thing("b", "whatever it was last"))
    made.change(Change.DELETED, thing("never seen", "red"))
    assert dict(made) == {"blue": 1}


def test_only_what_changes_figures_is_a_change() -> None:
    made = tally()
    fill(made, thing("a", "red"))
    before = made.changes
    made.change(Change.MODIFIED, thing("a", "red"))
    assert made.changes == before
    made.change(Change.MODIFIED, thing("a", "blue"))
    assert made.changes > before


def test_the_old_figures_stand_until_a_new_list_is_complete() -> None:
    made = tally()
    fill(made, thing("a", "red"))
    made.begin()
    made.page([thing("b", "blue")])
    assert dict(made) == {"red": 1}
    made.begin()  # the list began again: what it brought is void
    made.page([thing("c", "green")])
    made.finish()
    assert dict(made) == {"green": 1}


def test_a_change_after_a_list_finds_the_shapes_of_the_list() -> None:
    made = tally()
    fill(made, thing("a", "red"))
    made.begin()
    made.page([thing("a", "blue")])
    made.finish()
    made.change(Change.DELETED, thing("a", "blue"))
    assert dict(made) == {}


def test_uids_that_are_none_are_told_apart_too() -> None:
    made = tally()
    fill(made, thing("6f1c2d3e-0000-4000-8000-000000000001", "x"), thing("node/one", "x"))
    assert dict(made) == {"x": 2}


def test_it_is_bounded_and_says_so_once() -> None:
    made = tally(limit=2)
    with capture_logs() as logs:
        fill(made, *(thing(f"n{number}", "x") for number in range(5)))
        made.change(Change.ADDED, thing("more", "x"))
    assert dict(made) == {"x": 2}
    assert made.overflowed
    assert len(logs) == 1
