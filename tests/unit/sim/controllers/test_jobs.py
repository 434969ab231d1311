from tests.unit.sim.conftest import World, pod


def job(**spec: object) -> dict:
    inner = {**pod("x")["spec"], "restartPolicy": "Never"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"template": {"spec": inner}, **spec},
    }


def test_a_job_runs_to_its_end(world: World) -> None:
    world.put(job())
    world.run(3)
    found = world.get("batch", "jobs", "default", "j")
    assert found is not None
    assert found["status"]["succeeded"] == 1
    conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    assert conditions["Complete"] == "True"
    (made,) = world.all("", "pods", "default")
    assert made["metadata"]["labels"]["job-name"] == "j"


def test_parallelism_bounds_how_many_run_at_once(world: World) -> None:
    world.put(job(completions=3, parallelism=2))
    world.run(0.5)
    assert len(world.all("", "pods", "default")) == 2
    world.run(5)
    found = world.get("batch", "jobs", "default", "j")
    assert found is not None
    assert found["status"]["succeeded"] == 3


def test_a_suspended_job_starts_nothing(world: World) -> None:
    world.put(job(suspend=True))
    world.run(1)
    assert world.all("", "pods", "default") == []
