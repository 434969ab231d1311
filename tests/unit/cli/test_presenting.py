"""Tables, times, durations."""

import json

import click
import pytest

from pipeops.cli.presenting import age, duration, print_plain, show_done, show_list, span, until


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (61, "1m1s"), (600, "10m"), (3661, "1h1m"), (86_400 * 2 + 3600, "2d1h"),
     (86_400 * 400, "400d"), (-5, "0s")],
)  # fmt: skip
def test_spans_are_short(seconds, text):
    assert span(seconds) == text


def test_ages_and_expiries():
    now = 1_767_225_600.0 + 90
    assert age("2026-01-01T00:00:00Z", now) == "1m30s ago"
    assert age(None, now) == "never"
    assert until("2026-01-01T00:02:30.500+00:00", now) == "in 1m"
    assert until("2026-01-01T00:00:00Z", now) == "expired"
    assert until(None, now) == "never"


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2_592_000), ("1.5h", 5400), ("10s", 10), ("2w", 1_209_600)]
)
def test_durations(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "1d2h"])
def test_other_durations_are_refused(text):
    with pytest.raises(click.BadParameter):
        duration(text)


def test_plain_tables_line_up_without_trailing_spaces(capsys):
    print_plain(("name", "status"), [("a", "up"), ("longer", "down")])
    assert capsys.readouterr().out == "NAME     STATUS\na        up\nlonger   down\n"


def test_a_list_is_a_table_a_document_or_a_word_of_help(capsys):
    columns = {"name": lambda item: item["name"], "size": lambda item: str(item["size"])}
    items = [{"name": "a", "size": 1}]
    show_list(items, "table", columns, empty="none")
    assert capsys.readouterr().out == "NAME   SIZE\na      1\n"
    show_list(items, "json", columns)
    assert json.loads(capsys.readouterr().out) == items
    show_list([], "table", columns, empty="none")
    assert capsys.readouterr() == ("", "none\n")
    show_list([], "json", columns, empty="none")
    assert json.loads(capsys.readouterr().out) == []


def test_what_was_done_is_a_sentence_or_a_document(capsys):
    show_done("table", {"done": True}, "done")
    show_done("json", {"done": True}, "done")
    sentence, _, document = capsys.readouterr().out.partition("\n")
    assert (sentence, json.loads(document)) == ("done", {"done": True})
