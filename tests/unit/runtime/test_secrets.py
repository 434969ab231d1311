import copy
import pickle

import msgspec
import pytest

from pipeops.runtime.secrets import Secret


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r:>20}".format, lambda s: f"{s:x>9}"])
def test_never_prints_itself(show):
    assert "hunter2" not in show(Secret("hunter2"))
    assert "***" in show(Secret("hunter2"))


def test_reveals_when_asked():
    assert Secret("hunter2").reveal() == "hunter2"


def test_neither_json_nor_pickle_take_it():
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret("hunter2"))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("hunter2"))


def test_repr_of_a_container_stays_silent():
    class Holder(msgspec.Struct):
        token: Secret[str]

    assert "hunter2" not in repr(Holder(Secret("hunter2")))


def test_equality_by_value_and_type():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != Secret(b"a")
    assert Secret(b"\xff") == Secret(b"\xff")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_truth_is_presence():
    assert not Secret("")
    assert Secret("x")


def test_copies_are_the_same_object():
    secret = Secret("a")
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret
