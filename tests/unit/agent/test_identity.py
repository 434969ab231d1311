import hashlib
import socket

import pytest

from pipeops.agent.identity import agent_id, instance_id, next_epoch
from tests.support.clock import FakeClock

UUID = "6f1c2d3e-0000-4000-8000-000000000001"


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("m-1\n")
    for index, (name, flags, address) in enumerate(
        [("lo", "0x9", "00:00"), ("down0", "0x1002", "aa:bb"), ("eth0", "0x1003", "cc:dd")]
    ):
        directory = tmp_path / "sys/class/net" / name
        directory.mkdir(parents=True)
        (directory / "ifindex").write_text(f"{index + 1}\n")
        (directory / "flags").write_text(f"{flags}\n")
        (directory / "address").write_text(f"{address}\n")
    return tmp_path


def digest(*parts):
    return "agent-" + hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def test_a_machine_keeps_the_go_agents_id(machine):
    expected = digest(socket.gethostname(), "m-1", "cc:dd")
    assert agent_id("", environment={}, root=machine) == expected


def test_absent_parts_are_skipped(tmp_path):
    assert agent_id("", environment={}, root=tmp_path) == digest(socket.gethostname())


def test_the_pods_uid_never_counts(machine):
    plain = agent_id("", environment={"POD_NAME": "p"}, root=machine)
    assert agent_id("", environment={"POD_NAME": "p", "POD_UID": UUID}, root=machine) == plain


def test_in_a_cluster_all_replicas_share_the_id(tmp_path):
    directory = tmp_path / "var/run/secrets/kubernetes.io/serviceaccount"
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_text("CA")
    (directory / "namespace").write_text("pipeops-system")
    pods = [{"KUBERNETES_SERVICE_HOST": "h", "POD_NAME": f"agent-{i}"} for i in range(2)]
    ids = {agent_id("", environment=pod, root=tmp_path) for pod in pods}
    assert len(ids) == 1
    (directory / "ca.crt").write_text("another cluster")
    assert agent_id("", environment=pods[0], root=tmp_path) not in ids


def test_configured_wins_then_stored():
    assert agent_id("mine", "kept", environment={}) == "mine"
    assert agent_id("", "kept", environment={}) == "kept"


def test_a_pod_uid_from_an_old_manifest_loses_against_the_stored_id():
    pod = {"PIPEOPS_POD_NAME": "p"}
    assert agent_id(UUID, "kept", environment=pod) == "kept"
    assert agent_id(UUID, "", environment=pod) == UUID
    assert agent_id(UUID, "kept", environment={}) == UUID


def test_instance_is_the_pod_or_the_machine():
    assert instance_id({"PIPEOPS_POD_NAME": "agent-x", "POD_NAME": "y"}) == "agent-x"
    assert instance_id({"POD_NAME": "a b\r\n" + "z" * 99}) == "a-b-" + "z" * 59
    assert instance_id({"POD_NAME": "!!"}) == "unnamed"
    assert instance_id({})


def test_epochs_grow_even_when_the_clock_is_set_back():
    clock = FakeClock()
    first = next_epoch(clock)
    clock.advance(0.001)
    assert next_epoch(clock) == first + 1
    clock.jump_wall(-86_400)
    assert next_epoch(clock, first + 1) == first + 2
