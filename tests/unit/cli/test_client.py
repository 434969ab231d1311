"""ApiClient: paths, answers, errors."""

import httpx
import pytest

from pipeops.cli.client import ApiClient
from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.profile import Profile
from pipeops.runtime.secrets import Secret


@pytest.fixture
def api(control):
    profile = Profile("https://control.test", Secret("t"), None, "--server")
    with ApiClient(profile, control.client(profile)) as client:
        yield client


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, ExitCode.FAILED), (401, ExitCode.REFUSED), (403, ExitCode.REFUSED), (404, ExitCode.NOT_FOUND),
     (409, ExitCode.CONFLICT), (500, ExitCode.FAILED), (503, ExitCode.UNREACHABLE)],
)  # fmt: skip
def test_each_status_has_its_exit_code_and_keeps_the_words(api, control, status, code):
    control.problem("GET", "/api/v1/whoami", status, "what failed", "do this")
    with pytest.raises(CliError, match="what failed") as caught:
        api.whoami()
    assert caught.value.code is code
    assert caught.value.hint.startswith("do this")
    assert ("id1" in caught.value.hint) is (status >= 500)


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(200, text="<html>"), httpx.Response(502, text="Bad Gateway"), httpx.Response(200, json=[1]),
     httpx.Response(302, headers={"Location": "https://elsewhere"})],
)  # fmt: skip
def test_other_servers_are_recognised(answer):
    profile = Profile("https://control.test", None, None, "PIPEOPS_SERVER")
    client = httpx.Client(transport=httpx.MockTransport(lambda _: answer), base_url=profile.server)
    with (
        ApiClient(profile, client) as api,
        pytest.raises(CliError, match="not as a PipeOps") as caught,
    ):
        api.clusters()
    assert "PIPEOPS_SERVER" in caught.value.hint
    assert caught.value.code is ExitCode.UNREACHABLE


def test_a_missing_token_is_pointed_out(control):
    profile = Profile("https://control.test", None, None, "--server")
    control.problem("GET", "/api/v1/whoami", 401, "no token was sent")
    with ApiClient(profile, control.client(profile)) as api, pytest.raises(CliError) as caught:
        api.whoami()
    assert "PIPEOPS_USER_TOKEN" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "segment"),
    [("a/b", "a%2Fb"), ("..", "%2E%2E"), ("a?b#c", "a%3Fb%23c"), ("é", "%C3%A9")],
)
def test_a_name_stays_one_path_segment(api, control, name, segment):
    with pytest.raises(CliError):
        api.cluster(name)
    assert control.requests == [("GET", f"/api/v1/clusters/{segment}", None)]


def test_an_empty_name_is_no_list_request(api, control):
    with pytest.raises(CliError, match="empty"):
        api.cluster("")
    assert control.requests == []


def test_transport_errors_are_explained(api, control):
    control.on("GET", "/api/v1/clusters", httpx.ConnectTimeout("slow"))
    with pytest.raises(CliError, match="in time"):
        api.clusters()
