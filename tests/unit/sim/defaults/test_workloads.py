from pipeops.sim.defaults import workloads


def test_a_deployment_rolls_by_quarters() -> None:
    obj: dict = {"spec": {}}
    workloads.deployment(obj)
    assert obj["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    assert obj["spec"]["replicas"] == 1


def test_recreate_has_no_rolling_part() -> None:
    obj: dict = {"spec": {"strategy": {"type": "Recreate"}, "replicas": 0}}
    workloads.deployment(obj)
    assert obj["spec"]["strategy"] == {"type": "Recreate"}
    assert obj["spec"]["replicas"] == 0


def test_sets_get_their_strategies() -> None:
    stateful: dict = {"spec": {}}
    workloads.stateful_set(stateful)
    assert stateful["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 0}
    daemon: dict = {"spec": {}}
    workloads.daemon_set(daemon)
    rolling = daemon["spec"]["updateStrategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 0, "maxUnavailable": 1}


def test_a_replication_controller_takes_selector_and_labels_from_its_template() -> None:
    obj: dict = {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}
    workloads.replication_controller(obj)
    assert obj["spec"]["selector"] == obj["metadata"]["labels"] == {"a": "b"}


def test_a_job_completes_once_unless_it_says_otherwise() -> None:
    once: dict = {}
    workloads.job_spec(once)
    assert once["completions"] == 1
    parallel: dict = {"parallelism": 2}
    workloads.job_spec(parallel)
    assert "completions" not in parallel


def test_a_cron_job_keeps_some_history() -> None:
    obj: dict = {"spec": {"schedule": "* * * * *"}}
    workloads.cron_job(obj)
    assert obj["spec"]["successfulJobsHistoryLimit"] == 3
    assert obj["spec"]["jobTemplate"]["metadata"] == {}


def test_a_replica_set_has_one_replica() -> None:
    obj: dict = {"spec": {}}
    workloads.replica_set(obj)
    assert obj["spec"]["replicas"] == 1


def test_a_job_is_completed_in_place() -> None:
    obj: dict = {}
    workloads.job(obj)
    assert obj["spec"]["backoffLimit"] == 6
