"""`pipeops kubeconfig`."""

import json
from pathlib import Path

import pytest
import yaml

from pipeops.cli.failures import ExitCode


@pytest.fixture(autouse=True)
def known(control, make_cluster):
    control.on("GET", "/api/v1/clusters/prod", make_cluster())


def test_printed_as_yaml_or_json(pipeops):
    document = yaml.safe_load(pipeops("kubeconfig", "prod")[1])
    assert document["clusters"][0]["cluster"]["server"] == "https://control.test/k8s/prod"
    assert document["users"][0]["user"]["token"] == "pipeops_u_secret"
    assert json.loads(pipeops("kubeconfig", "prod", "-o", "json")[1]) == document


def test_written_to_a_file_it_prints_no_secret(pipeops):
    code, out, err = pipeops("kubeconfig", "prod", "-f", "kc", "--context", "mine")
    assert code == 0
    assert yaml.safe_load(Path("kc").read_text())["current-context"] == "mine"
    assert "pipeops_u_secret" not in out + err


def test_merged_into_the_default_file(pipeops, environment):
    assert pipeops("kubeconfig", "prod", "--merge")[0] == 0
    assert (environment / ".kube/config").exists()


def test_an_unknown_cluster_writes_nothing(pipeops):
    assert pipeops("kubeconfig", "nope", "-f", "kc")[0] == ExitCode.NOT_FOUND
    assert not Path("kc").exists()


def test_cleartext_servers_are_warned_about(pipeops):
    assert "kubectl" in pipeops("--server", "http://127.0.0.1:1", "kubeconfig", "prod")[2]
