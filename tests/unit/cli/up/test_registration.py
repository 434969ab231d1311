"""Tokens are made once and kept while they fit."""

import pytest

from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.profile import Profile
from pipeops.cli.up.home import Home
from pipeops.cli.up.identity import Identity
from pipeops.cli.up.registration import ensure_cluster, ensure_user_token, stored_token
from pipeops.cli.up.state import UpState
from pipeops.runtime.secrets import Secret

ADA = Identity("ada", ("dev",))


class Api:
    """Plays ApiClient for one token."""

    def __init__(self, token="pipeops_u_old", **who):
        self.profile = Profile("https://c", Secret(token), None, "")
        self._who = {"user": "ada", "groups": ["dev"], "role": "admin", "clusters": None} | who
        self.refusal = None
        self.missing = True
        self.cluster_tokens = []
        self.calls = []

    def whoami(self):
        if self.refusal:
            raise self.refusal
        return self._who

    def create_token(self, body):
        self.calls.append(("create", body["user"], body["role"]))
        return {"token": "pipeops_u_new", "metadata": {"id": "u2"}}

    def revoke_token(self, token_id):
        self.calls.append(("revoke", token_id))
        if token_id == "gone":
            raise CliError("no such token", code=ExitCode.NOT_FOUND)

    def cluster(self, name):
        if self.missing:
            raise CliError("none", code=ExitCode.NOT_FOUND)
        return {"tokens": self.cluster_tokens}

    def add_cluster(self, name):
        self.calls.append(("add", name))
        return {"token": "pipeops_c_1", "token_id": "c1"}

    def issue_cluster_token(self, name, *, revoke_others):
        self.calls.append(("issue", name, revoke_others))
        return {"token": "pipeops_c_2", "token_id": "c2"}


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    home.prepare()
    return home


def test_first_run_makes_a_token(home):
    admin, state = Api(), UpState()
    assert ensure_user_token(admin, None, home, state, ADA).reveal() == "pipeops_u_new"
    assert stored_token(home.user_token).reveal() == "pipeops_u_new"
    assert state.user_token_id == "u2"
    assert admin.calls == [("create", "ada", "admin")]


def test_later_runs_keep_it(home):
    admin = Api()
    assert (
        ensure_user_token(admin, Api("pipeops_u_old"), home, UpState(), ADA).reveal()
        == "pipeops_u_old"
    )
    assert admin.calls == []


@pytest.mark.parametrize(
    "who", [{"user": "bob"}, {"groups": []}, {"role": "user"}, {"clusters": ["x"]}]
)
def test_a_token_for_somebody_else_is_replaced_and_revoked(home, who):
    admin, state = Api(), UpState(user_token_id="u1")
    ensure_user_token(admin, Api(**who), home, state, ADA)
    assert admin.calls == [("create", "ada", "admin"), ("revoke", "u1")]


def test_a_revoked_token_is_replaced_but_a_dead_control_plane_is_no_reason(home):
    known = Api()
    known.refusal = CliError("revoked", code=ExitCode.REFUSED)
    assert (
        ensure_user_token(Api(), known, home, UpState(user_token_id="gone"), ADA).reveal()
        == "pipeops_u_new"
    )
    known.refusal = CliError("down", code=ExitCode.UNREACHABLE)
    with pytest.raises(CliError, match="down"):
        ensure_user_token(Api(), known, home, UpState(), ADA)


def test_first_run_adds_the_cluster(home):
    admin, state = Api(), UpState()
    assert ensure_cluster(admin, home, state, "sim").read_text() == "pipeops_c_1\n"
    assert state.cluster_token_ids == {"sim": "c1"}


def test_later_runs_keep_the_clusters_token(home):
    admin, state = Api(), UpState()
    ensure_cluster(admin, home, state, "sim")
    admin.missing, admin.cluster_tokens = False, [{"id": "c1", "revoked_at": None}]
    ensure_cluster(admin, home, state, "sim")
    assert admin.calls == [("add", "sim")]


@pytest.mark.parametrize("loss", ["file", "revoked", "unknown"])
def test_a_lost_cluster_token_is_replaced(home, loss):
    admin, state = Api(), UpState()
    path = ensure_cluster(admin, home, state, "sim")
    admin.missing = False
    admin.cluster_tokens = [
        {"id": "c1", "revoked_at": "2026-01-01T00:00:00Z" if loss == "revoked" else None}
    ]
    if loss == "file":
        path.unlink()
    if loss == "unknown":
        admin.cluster_tokens = []
    assert ensure_cluster(admin, home, state, "sim").read_text() == "pipeops_c_2\n"
    assert admin.calls[-1] == ("issue", "sim", True)


def test_a_missing_token_file_is_no_error(tmp_path):
    assert stored_token(tmp_path / "absent") is None
