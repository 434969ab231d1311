"""Whom the agent acts as, and which rules are missing."""

import pytest

from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.up.identity import Identity, check_impersonation, find_identity
from pipeops.kube.client import UserInfo
from pipeops.kube.errors import KubeUnreachable, status_error


class Cluster:
    def __init__(self, username="ada", groups=(), error=None, denied=()):
        self._info = UserInfo(username, "", list(groups), {})
        self._error = error
        self._denied = denied
        self.asked = []

    async def who_am_i(self):
        if self._error:
            raise self._error
        return self._info

    async def may(self, question):
        if self._error:
            raise self._error
        self.asked.append((question.verb, question.resource, question.namespace, question.name))
        return question.name not in self._denied


async def test_everybodys_group_is_left_out():
    found = await find_identity(Cluster("ada", ["dev", "system:authenticated"]))
    assert found == Identity("ada", ("dev",))
    assert not found.is_system


async def test_an_administrator_is_a_system_identity():
    found = await find_identity(
        Cluster("kubernetes-admin", ["system:masters", "system:authenticated"])
    )
    assert found.groups == ("system:masters",)
    assert found.is_system


async def test_groups_of_a_service_account_come_by_themselves():
    groups = [
        "system:serviceaccounts",
        "system:serviceaccounts:ci",
        "system:authenticated",
        "extra",
    ]
    found = await find_identity(Cluster("system:serviceaccount:ci:bot", groups))
    assert found == Identity("system:serviceaccount:ci:bot", ("extra",))


async def test_a_forbidden_review_names_the_rule():
    error = status_error(403, "Forbidden", "no")
    with pytest.raises(CliError) as caught:
        await find_identity(Cluster(error=error))
    assert "selfsubjectreviews" in caught.value.detail[0]
    assert caught.value.code is ExitCode.REFUSED


async def test_an_old_cluster_and_a_dead_one_are_told_apart():
    with pytest.raises(CliError, match=r"1\.26"):
        await find_identity(Cluster(error=status_error(404, "NotFound", "no")))
    with pytest.raises(CliError, match="refused"):
        await find_identity(Cluster(error=KubeUnreachable("refused")))


async def test_user_and_every_group_are_checked():
    cluster = Cluster()
    await check_impersonation(cluster, Identity("ada", ("dev", "ops")))
    assert cluster.asked == [
        ("impersonate", "users", "", "ada"), ("impersonate", "groups", "", "dev"), ("impersonate", "groups", "", "ops"),
    ]  # fmt: skip


async def test_service_accounts_are_another_resource():
    cluster = Cluster()
    await check_impersonation(cluster, Identity("system:serviceaccount:ci:bot", ()))
    assert cluster.asked == [("impersonate", "serviceaccounts", "ci", "bot")]


async def test_missing_rules_are_written_out():
    with pytest.raises(CliError, match="may not impersonate 'ada'") as caught:
        await check_impersonation(Cluster(denied=("ada", "ops")), Identity("ada", ("dev", "ops")))
    assert caught.value.detail == (
        '- {apiGroups: [""], resources: ["users"], resourceNames: ["ada"], verbs: ["impersonate"]}',
        '- {apiGroups: [""], resources: ["groups"], resourceNames: ["ops"], verbs: ["impersonate"]}',
    )


async def test_a_cluster_that_does_not_answer_is_no_permission():
    with pytest.raises(CliError, match="did not say"):
        await check_impersonation(Cluster(error=KubeUnreachable("gone")), Identity("ada", ()))
