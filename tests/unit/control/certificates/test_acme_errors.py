"""Words of foreign servers and programs."""

import pytest

from pipeops.control.certificates.acme_errors import AcmeError, printable


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain words", "plain words"),
        ("two\nlines\r\n  and\ttabs", "two lines and tabs"),
        ("\x1b[31mred\x00", "?[31mred?"),
        ("x" * 600, "x" * 500),
    ],
)
def test_foreign_words_fit_a_line(said, shown):
    assert printable(said) == shown


def test_an_error_says_what_to_do_by_its_attributes():
    plain = AcmeError("no")
    assert (plain.code, plain.retry_after, plain.everywhere) == ("", None, False)
