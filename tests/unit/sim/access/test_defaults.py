from pipeops.sim.access.defaults import bootstrap, cluster_role_binding, group


def _roles() -> dict[str, dict]:
    return {o["metadata"]["name"]: o for o in bootstrap() if o["kind"] == "ClusterRole"}


def test_every_binding_refers_to_a_role_that_is_there() -> None:
    bindings = [obj for obj in bootstrap() if obj["kind"] == "ClusterRoleBinding"]
    assert {obj["roleRef"]["name"] for obj in bindings} <= _roles().keys()


def test_view_never_shows_secrets_nor_writes() -> None:
    for rule in _roles()["view"]["rules"]:
        assert "secrets" not in rule["resources"]
        assert set(rule["verbs"]) == {"get", "list", "watch"}


def test_edit_cannot_grant_rights() -> None:
    assert all("roles" not in rule["resources"] for rule in _roles()["edit"]["rules"])


def test_a_binding_names_role_and_subjects() -> None:
    made = cluster_role_binding("b", "view", [group("g")])
    assert made["roleRef"]["name"] == "view"
    assert made["subjects"][0]["name"] == "g"
