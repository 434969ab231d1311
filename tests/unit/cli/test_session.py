"""What commands share."""

from pathlib import Path

from pipeops.cli.session import Session


def test_options_become_the_profile(tmp_path):
    (tmp_path / "token").write_text("pipeops_u_x")
    session = Session("https://c", tmp_path / "token", Path("/ca.crt"))
    profile = session.profile()
    assert (profile.server, profile.token.reveal(), profile.ca_file) == (
        "https://c",
        "pipeops_u_x",
        Path("/ca.crt"),
    )


def test_no_control_plane_is_contacted_before_a_command_needs_it():
    # Nothing listens there; opening a client is not connecting.
    Session("https://127.0.0.1:9", None, None).api().close()
