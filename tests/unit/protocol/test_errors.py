"""The tree that the docstring draws is the tree that exists."""

import inspect

from pipeops.errors import PipeOpsError
from pipeops.protocol import errors


def test_docstring_names_every_class_and_what_is_retryable():
    tree = inspect.getdoc(errors)
    for name, member in inspect.getmembers(errors, inspect.isclass):
        if member.__module__ != errors.__name__:
            continue
        assert issubclass(member, PipeOpsError)
        line = next(line for line in tree.splitlines() if f"─ {name}" in line)
        assert line.rstrip().endswith("retryable") == member.retryable


def test_a_reached_limit_says_which():
    error = errors.StreamLimitReached("streams of a session", 10)
    assert error.limit == 10
    assert str(error) == "no room for another stream: streams of a session is limited to 10"
