"""What one run leaves to the next."""

import stat

import pytest

from pipeops.cli.failures import CliError
from pipeops.cli.up.state import UpState, load_state, save_state


def test_round_trip_and_empty_beginning(tmp_path):
    path = tmp_path / "state.json"
    assert load_state(path) == UpState()
    state = UpState(control_port=8443, context="kind", cluster_token_ids={"sim": "t1"})
    save_state(path, state)
    assert load_state(path) == state
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_newer_versions_fields_are_ignored(tmp_path):
    path = tmp_path / "state.json"
    path.write_text('{"control_port": 1, "something_new": [1]}')
    assert load_state(path).control_port == 1


@pytest.mark.parametrize("text", ["", "{", '{"control_port": "x"}', "[]"])
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(CliError, match=r"state\.json") as caught:
        load_state(path)
    assert "remove it" in caught.value.hint


def test_fresh_states_share_nothing():
    UpState().cluster_token_ids["x"] = "y"
    assert UpState().cluster_token_ids == {}
