from typing import Annotated

import msgspec
import pytest

from pipeops.runtime.secrets import Secret
from pipeops.runtime.setting_values import boolean, duration, integer, mapping, secret, text
from pipeops.runtime.settings import (
    File,
    Key,
    Problem,
    Rank,
    SettingsError,
    describe_default,
    keys_of,
    load,
)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    port: Annotated[
        int, Key("agent.port", integer(0, 65_535), "port", "--port", env=("PIPEOPS_PORT",))
    ] = 8080
    name: Annotated[str, Key("agent.name", text, "name")] = "n"
    labels: Annotated[dict[str, str], Key("agent.labels", mapping, "labels")] = {}
    token: Annotated[
        Secret[str],
        Key(
            "pipeops.token", secret, "t", "--token", ("PIPEOPS_TOKEN",), secret=True, security=True
        ),
    ] = Secret("")
    ca: Annotated[str, Key("pipeops.tls.ca_file", text, "ca", "--ca-file", security=True)] = ""
    debug: Annotated[bool, Key("agent.debug", boolean, "d", "--debug")] = False


class Inert(msgspec.Struct, frozen=True, kw_only=True):
    x: Annotated[float, Key("a.x", duration(), "x", inert="gone")] = 0.0
    y: Annotated[float, Key("a.y", duration(), "y")] = 0.0
    renamed: Annotated[str, Key("a.new", text, "z", aliases=("a.oldname",))] = ""


def read(content=None, flags=None, environment=None, **options):
    file = None if content is None else File("f.yaml", content)
    return load(Sample, flags=flags or {}, environment=environment or {}, file=file, **options)


def problems(*args, **options) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(*args, **options)
    return [str(problem) for problem in caught.value.problems]


def test_flag_over_environment_over_file_over_default():
    file = {"agent": {"port": 1}}
    assert read().settings.port == 8080
    assert read(file).settings.port == 1
    assert read(file, environment={"PIPEOPS_PORT": "2"}).settings.port == 2
    loaded = read(file, {"port": "3"}, {"PIPEOPS_PORT": "2"})
    assert loaded.settings.port == 3
    assert loaded.origins["port"].rank is Rank.FLAG
    assert loaded.origins["port"].place == "--port"


def test_named_variable_wins_over_the_automatic_one_with_a_warning():
    loaded = read(environment={"AGENT_PORT": "5", "PIPEOPS_PORT": "4"})
    assert loaded.settings.port == 4
    assert "PIPEOPS_PORT wins over AGENT_PORT" in loaded.warnings[0]
    assert read(environment={"AGENT_PORT": "5"}).settings.port == 5
    assert not read(environment={"AGENT_PORT": "4", "PIPEOPS_PORT": "4"}).warnings


def test_an_empty_variable_counts_as_unset():
    assert read({"agent": {"port": 1}}, environment={"PIPEOPS_PORT": ""}).settings.port == 1


def test_a_kubernetes_service_link_is_not_our_port():
    loaded = read(environment={"AGENT_PORT": "tcp://10.0.0.1:8080"})
    assert loaded.settings.port == 8080
    assert "service link" in loaded.warnings[0]


def test_all_problems_are_told_at_once_with_key_place_and_form():
    found = problems(
        {"agent": {"port": "x", "debug": "maybe"}, "pipeops": {"token": 5}},
        {"ca": ""},
        {"AGENT_LABELS": "oops"},
    )
    assert found == [
        "agent.port (f.yaml): expected a whole number from 0 to 65535, not 'x'",
        "agent.debug (f.yaml): expected true or false, not 'maybe'",
        "pipeops.token (f.yaml): expected text (put quotes around it)",
        (
            "agent.labels (AGENT_LABELS): expected a mapping of text to text, or"
            " key=value,key=value, not 'oops'"
        ),
        "pipeops.tls.ca_file (--ca-file): it is empty",
    ]


def test_file_keys_match_in_any_case_and_labels_stay_as_written():
    loaded = read({"Agent": {"PORT": 9, "Labels": {"App.io/Name": "X"}}})
    assert loaded.settings.port == 9
    assert loaded.settings.labels == {"App.io/Name": "X"}


def test_unknown_keys_warn_with_a_suggestion():
    loaded = read({"agent": {"prot": 1, "other": None}})
    assert loaded.warnings == [
        "unknown setting agent.prot in f.yaml is ignored; did you mean agent.port?",
        "unknown setting agent.other in f.yaml is ignored",
    ]


@pytest.mark.parametrize(
    "content",
    [
        {"pipeops": {"tokn": "x"}},
        {"pipeops": {"tls": {"cafile": "x"}}},
        {"pipeops": {"tls": {"something_new": True}}},
    ],
)
def test_misspelt_security_keys_are_fatal(content):
    assert "no such security setting" in problems(content)[0]


def test_misspelt_security_variables_are_fatal_service_links_are_not():
    assert problems(environment={"PIPEOPS_TOKN": "x"}) == [
        "PIPEOPS_TOKN (environment): there is no such setting; did you mean PIPEOPS_TOKEN?"
    ]
    assert not read(
        environment={"PIPEOPS_TOKEN_PORT": "tcp://x", "PIPEOPS_TLS_CA_FILE": "x", "TOKN": "y"}
    ).warnings


def test_inert_sections_warn_once():
    loaded = read({"upgrade": {"enabled": True, "channel": "x"}}, inert={"upgrade.": "no effect"})
    assert loaded.warnings == ["upgrade.* in f.yaml: no effect"]


def test_checks_between_settings_see_parsed_values():
    def check(values, origins):
        yield Problem("agent", origins["port"].place, f"port is {values['port']}")

    assert problems({"agent": {"port": 7}}, check=check) == ["agent (f.yaml): port is 7"]


def test_what_was_wrong_before_is_told_with_the_rest():
    before = [Problem("--config", "", "no such file")]
    told = problems(None, {"port": "x"}, problems=before)
    assert told[0] == "--config: no such file"
    assert told[1].startswith("agent.port (--port): expected")


def test_an_excused_problem_only_warns():
    loaded = read({"agent": {"port": "x"}}, excused=lambda key, _: key == "agent.port")
    assert loaded.settings.port == 8080
    assert "it is ignored" in loaded.warnings[0]


def test_inert_settings_and_variables_are_told_in_one_line_each():
    loaded = read(
        {"agent": {"old": 1}, "times": {"wait": 5}},
        environment={"OLD_ONE": "1", "OLD_TWO": "2", "OLD_THREE": ""},
        inert={"agent.old": "gone"},
        inert_variables={"OLD_ONE": "x", "OLD_TWO": "x", "OLD_THREE": "x"},
    )
    assert any(line == "variables without effect: OLD_ONE, OLD_TWO" for line in loaded.warnings)
    given = load(
        Inert, flags={}, environment={}, file=File("f", {"a": {"oldName": "2", "x": "1s"}})
    )
    assert given.settings.x == 1
    assert given.settings.renamed == "2"
    assert given.warnings == ["accepted without effect: a.x"]


def test_a_bare_number_for_a_duration_is_seconds_and_is_said():
    loaded = load(Inert, flags={}, environment={"A_Y": "30"}, file=None)
    assert loaded.settings.y == 30
    assert "30 has no unit and is taken as 30s" in loaded.warnings[0]
    assert not load(Inert, flags={}, environment={"A_Y": "30s"}, file=None).warnings


def test_odd_files():
    assert problems(["x"]) == ["(whole file) (f.yaml): expected a mapping of settings"]
    assert read({}).settings == Sample()
    assert read({"agent": {"port": None}}).settings.port == 8080
    deep: dict = {"a": 1}
    for _ in range(50):
        deep = {"a": deep}
    assert len(read(deep).warnings) == 1


def test_a_wrong_secret_is_not_shown():
    assert "12345" not in problems({"pipeops": {"token": 12345}})[0]


def test_keys_and_defaults_for_help():
    assert list(keys_of(Sample)) == ["port", "name", "labels", "token", "ca", "debug"]
    assert [describe_default(value) for value in (8080, 0.5, "x", "", None, False, True, {})] == [
        "8080",
        "0.5s",
        "x",
        "",
        "",
        "",
        "true",
        "",
    ]
