"""Which control plane, which token: precedence, and no token for a stranger."""

import stat

import pytest

from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.profile import config_files, load_profile, read_token, save_config, state_home


@pytest.fixture
def home(environment):
    """A configuration as `pipeops up` leaves it."""
    root = environment / ".local/state/pipeops"
    root.mkdir(parents=True)
    (root / "user-token").write_text("pipeops_u_local\n")
    (root / "ca.crt").write_text("PEM")
    save_config(
        root / "config.yaml", server="https://127.0.0.1:8443", token_file=root / "user-token",
        ca_file=root / "ca.crt",
    )  # fmt: skip
    return root


def test_nothing_configured_says_how_to_begin():
    with pytest.raises(CliError, match="no control plane") as caught:
        load_profile({"HOME": "/nonexistent"})
    assert "pipeops up" in caught.value.hint
    assert caught.value.code is ExitCode.USAGE


def test_up_leaves_everything_that_is_needed(home):
    profile = load_profile({})
    assert profile.server == "https://127.0.0.1:8443"
    assert profile.token.reveal() == "pipeops_u_local"
    assert profile.ca_file == home / "ca.crt"
    assert stat.S_IMODE((home / "config.yaml").stat().st_mode) == 0o600
    assert "pipeops_u_local" not in (home / "config.yaml").read_text()


def test_token_and_ca_of_the_file_are_not_given_to_another_server(home):
    for profile in (
        load_profile({"PIPEOPS_SERVER": "https://elsewhere"}),
        load_profile({}, server="https://elsewhere:8443"),
    ):
        assert profile.token is None
        assert profile.ca_file is None


def test_the_same_server_named_again_keeps_them(home):
    assert load_profile({}, server="https://127.0.0.1:8443/").token is not None


def test_options_win_over_environment_over_file(home, tmp_path):
    (tmp_path / "mine").write_text("pipeops_u_option")
    environ = {"PIPEOPS_USER_TOKEN": "pipeops_u_env", "PIPEOPS_CA_FILE": "/env.crt"}
    assert load_profile(environ).token.reveal() == "pipeops_u_env"
    assert str(load_profile(environ).ca_file) == "/env.crt"
    chosen = load_profile(environ, token_file=tmp_path / "mine", ca_file=tmp_path / "o.crt")
    assert chosen.token.reveal() == "pipeops_u_option"
    assert chosen.ca_file == tmp_path / "o.crt"


def test_a_personal_configuration_wins_over_that_of_up(home, environment):
    personal = environment / ".config/pipeops"
    personal.mkdir(parents=True)
    (personal / "token").write_text("pipeops_u_personal")
    (personal / "config.yaml").write_text("server: https://work\ntoken_file: token\n")
    profile = load_profile({})
    assert (profile.server, profile.token.reveal()) == ("https://work", "pipeops_u_personal")


def test_pipeops_home_is_the_only_place_when_given(home):
    environ = {"PIPEOPS_HOME": str(home)}
    assert config_files(environ) == (home / "config.yaml",)
    assert state_home(environ) == home


@pytest.mark.parametrize("text", ["[", "- a", "server: 1", "\x00"])
def test_a_broken_configuration_is_named(home, text):
    (home / "config.yaml").write_text(text)
    with pytest.raises(CliError, match=r"config\.yaml") as caught:
        load_profile({})
    assert caught.value.code is ExitCode.USAGE


def test_an_address_without_scheme_is_refused():
    with pytest.raises(CliError, match="not a URL"):
        load_profile({}, server="control.example.org:8443")


@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file"), ("", "empty"), ("é", "text file")]
)
def test_unusable_token_files_are_named(tmp_path, content, says):
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(CliError, match=says):
        read_token(path)


def test_a_profile_never_prints_its_token(home):
    assert "pipeops_u_local" not in repr(load_profile({}))
