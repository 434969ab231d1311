import io
import json
import logging
import warnings

import pytest

from pipeops.runtime import logs
from pipeops.runtime.secrets import Secret


def lines(stream: io.StringIO):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_record_has_the_documented_keys_in_order():
    out = io.StringIO()
    logs.configure(stream=out)
    logs.get_logger("pipeops.tunnel").info("tunnel connected", lane=0)
    assert list(lines(out)[0]) == ["time", "level", "msg", "component", "lane"]
    assert lines(out)[0]["msg"] == "tunnel connected"
    assert lines(out)[0]["component"] == "tunnel"
    assert lines(out)[0]["time"].endswith("Z")


def test_what_a_network_library_says_of_its_peers_is_one_line():
    out = io.StringIO()
    logs.configure(stream=out)
    logger = logs.library_logger("a-library")
    assert logs.library_logger("a-library").filters == logger.filters
    try:
        raise ValueError("frame too large")
    except ValueError:
        logger.exception("closing %s", "7")
    (record,) = lines(out)
    assert record["msg"] == "closing 7: frame too large"
    assert "exception" not in record


def test_fields_cannot_overwrite_the_records_own_keys():
    out = io.StringIO()
    logs.configure(stream=out)
    logs.get_logger("x").info("real", msg="fake", time="never")
    assert lines(out)[0]["msg"] == "real"
    assert lines(out)[0]["fields.msg"] == "fake"
    assert lines(out)[0]["fields.time"] == "never"


def test_secrets_never_reach_the_stream():
    out = io.StringIO()
    logs.configure("debug", stream=out)
    log = logs.get_logger("x")
    log.info("dial with Bearer canary-canary", token="canary", s=Secret("canary"), has_token=True)
    try:
        int("GET /?token=canary")
    except ValueError as error:
        log.exception("failed", error=str(error))
    logging.getLogger("lib").error("Authorization: Basic canarycanary")
    assert "canary" not in out.getvalue()
    assert lines(out)[0]["has_token"] is True
    assert "ValueError" in lines(out)[1]["exception"]
    assert lines(out)[2]["component"] == "lib"


@pytest.mark.parametrize(("level", "seen"), [("DEBUG", 3), ("info", 2), ("Warn", 1), ("error", 0)])
def test_level_filters(level, seen):
    out = io.StringIO()
    logs.configure(level, stream=out)
    log = logs.get_logger("x")
    log.debug("a")
    log.info("b")
    log.warning("c")
    assert len(lines(out)) == seen


def test_unknown_level_warns_and_means_info():
    out = io.StringIO()
    logs.configure("loud", stream=out)
    logs.get_logger("x").info("b")
    assert [line["level"] for line in lines(out)] == ["warning", "info"]


def test_context_is_bound_for_the_block_only():
    out = io.StringIO()
    logs.configure(stream=out)
    with logs.bind_context(request_id="r1"):
        logs.get_logger("x").info("a")
    logs.get_logger("x").info("b")
    assert lines(out)[0]["request_id"] == "r1"
    assert "request_id" not in lines(out)[1]


def test_text_form_cannot_be_broken_into_two_lines():
    out = io.StringIO()
    logs.configure(form="text", stream=out)
    logs.get_logger("x").info("up", path="/a\nfake line\x1b[2J", n=[1, 2], ok="plain")
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()
    assert "n=[1,2]" in out.getvalue()
    assert "ok=plain" in out.getvalue()


def test_text_form_shows_tracebacks():
    out = io.StringIO()
    logs.configure(form="text", stream=out)
    try:
        int("k")
    except ValueError as error:
        logs.get_logger("x").error("broke", exc_info=error)
    assert "Traceback" in out.getvalue()


def test_warnings_go_through_the_pipeline():
    out = io.StringIO()
    logs.configure(stream=out)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old thing", UserWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert "old thing" in lines(out)[0]["msg"]


def test_a_dead_stream_is_survived():
    out = io.StringIO()
    logs.configure(stream=out)
    out.close()
    logs.get_logger("x").info("nobody hears")


def test_the_level_changes_while_running():
    out = io.StringIO()
    logs.configure(stream=out)
    logger = logs.get_logger("pipeops.x")
    logger.debug("before")
    assert logs.set_level("DEBUG")
    logger.debug("meanwhile")
    assert not logs.set_level("loud")
    logger.debug("still")
    assert logs.set_level("error")
    logger.info("after")
    assert [record["msg"] for record in lines(out)] == ["meanwhile", "still"]


def test_a_tap_sees_finished_redacted_records_until_it_is_closed():
    out = io.StringIO()
    logs.configure(stream=out, form="text")
    logger = logs.get_logger("pipeops.x")
    seen = []
    with logs.tapped(lambda record: seen.append(dict(record))):
        logger.info("hello", token="abc", lane=1)
        logger.debug("not at this level")
    logger.info("gone")
    assert [record["msg"] for record in seen] == ["hello"]
    assert (seen[0]["token"], seen[0]["lane"], seen[0]["level"]) == ("***", 1, "info")
    assert seen[0]["time"].endswith("Z")
