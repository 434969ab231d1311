from tests.unit.sim.conftest import World, config_map, workload

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = {"content-type": "application/merge-patch+json"}
APPLY = {"content-type": "application/apply-patch+yaml"}


async def test_a_created_object_has_identity_and_its_manager(world: World) -> None:
    made = await world("POST", MAPS, config_map("a", x="1"))
    assert made.status == 201
    head = made.body["metadata"]
    assert {"uid", "resourceVersion", "creationTimestamp"} <= head.keys()
    assert [entry["manager"] for entry in head["managedFields"]] == ["unit-test"]


async def test_a_second_create_conflicts(world: World) -> None:
    await world("POST", MAPS, config_map("a"))
    again = await world("POST", MAPS, config_map("a"))
    assert (again.status, again.body["reason"]) == (409, "AlreadyExists")


async def test_dry_run_answers_but_stores_nothing(world: World) -> None:
    made = await world("POST", f"{MAPS}?dryRun=All", config_map("a"))
    assert made.status == 201
    assert "resourceVersion" not in made.body["metadata"]
    assert (await world("GET", f"{MAPS}/a")).status == 404


async def test_a_stale_update_is_refused(world: World) -> None:
    made = (await world("POST", MAPS, config_map("a"))).body
    await world("PATCH", f"{MAPS}/a", {"data": {"x": "1"}}, headers=MERGE)
    late = await world("PUT", f"{MAPS}/a", made)
    assert (late.status, late.body["reason"]) == (409, "Conflict")


async def test_an_update_without_change_keeps_the_version(world: World) -> None:
    made = (await world("POST", MAPS, config_map("a", x="1"))).body
    same = await world("PATCH", f"{MAPS}/a", {"data": {"x": "1"}}, headers=MERGE)
    assert same.body["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_apply_conflicts_name_the_other_manager_until_forced(world: World) -> None:
    await world("PATCH", f"{MAPS}/a?fieldManager=one", config_map("a", x="1"), headers=APPLY | {})
    wanted = {**config_map("a", x="2")}
    refused = await world("PATCH", f"{MAPS}/a?fieldManager=two", wanted, headers=APPLY)
    assert refused.status == 409
    assert refused.body["details"]["causes"][0]["field"] == ".data.x"
    assert '"one"' in refused.body["message"]
    forced = await world("PATCH", f"{MAPS}/a?fieldManager=two&force=true", wanted, headers=APPLY)
    assert forced.body["data"] == {"x": "2"}


async def test_apply_needs_a_field_manager(world: World) -> None:
    refused = await world("PATCH", f"{MAPS}/a", config_map("a"), headers=APPLY)
    assert refused.status == 422


async def test_apply_that_creates_needs_the_right_to_create(world: World) -> None:
    viewer = {"impersonate-user": "ann", "impersonate-group": "pipeops:viewers"}
    refused = await world(
        "PATCH", f"{MAPS}/a?fieldManager=x", config_map("a"), headers={**APPLY, **viewer}
    )
    assert refused.status == 403


async def test_scale_changes_replicas_only(world: World) -> None:
    await world("POST", DEPLOYMENTS, workload("Deployment", "web", 0, paused=True))
    patch = {"spec": {"replicas": 5}}
    scaled = await world("PATCH", f"{DEPLOYMENTS}/web/scale", patch, headers=MERGE)
    assert (scaled.body["kind"], scaled.body["spec"]) == ("Scale", {"replicas": 5})
    found = world.get("apps", "deployments", "default", "web")
    assert found is not None
    assert found["spec"]["replicas"] == 5
    assert found["metadata"]["generation"] == 2


async def test_status_is_written_through_its_own_subresource_only(world: World) -> None:
    await world("POST", DEPLOYMENTS, workload("Deployment", "web", 0, paused=True))
    patch = {"spec": {"replicas": 9}, "status": {"observedGeneration": 77}}
    main = await world("PATCH", f"{DEPLOYMENTS}/web", {"status": patch["status"]}, headers=MERGE)
    assert main.body["status"].get("observedGeneration") != 77
    status = await world("PATCH", f"{DEPLOYMENTS}/web/status", patch, headers=MERGE)
    assert status.body["status"]["observedGeneration"] == 77
    assert status.body["spec"]["replicas"] == 0


async def test_put_creates_only_kinds_that_allow_it(world: World) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}}
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    assert (await world("PUT", path, lease)).status == 201
    assert (await world("PUT", f"{MAPS}/a", config_map("a"))).status == 404


async def test_a_body_that_is_no_patch_is_refused(world: World) -> None:
    await world("POST", MAPS, config_map("a"))
    for media in ("application/merge-patch+json", "application/json-patch+json"):
        refused = await world("PATCH", f"{MAPS}/a", b"{", headers={"content-type": media})
        assert refused.status == 400
    other = await world("PATCH", f"{MAPS}/a", {}, headers={"content-type": "text/plain"})
    assert other.status == 415
