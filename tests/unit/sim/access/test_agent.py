from pathlib import Path

import yaml

from pipeops.sim.access.agent import agent_installation


def _key(obj: dict) -> tuple[str, str]:
    return obj["kind"], obj["metadata"]["name"]


def test_the_simulator_has_exactly_the_rights_of_the_manifest(root: Path) -> None:
    text = (root / "deploy" / "manifests" / "rbac.yaml").read_text()
    manifest = {_key(obj): obj for obj in yaml.safe_load_all(text) if obj}
    simulated = {_key(obj): obj for obj in agent_installation()}
    assert simulated.keys() == manifest.keys()
    for key, wanted in manifest.items():
        assert simulated[key] == wanted, key
