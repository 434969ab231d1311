import stat
from pathlib import Path

import yaml

from pipeops.sim.state import Credentials, kubeconfig, write_private
from tests.unit.sim.conftest import START


def test_credentials_outlive_a_restart_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    first = Credentials.load(tmp_path / "state", START)
    again = Credentials.load(tmp_path / "state", START)
    assert (first.admin_token, first.signing_key) == (again.admin_token, again.signing_key)
    (file,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first.admin_token not in repr(first)


def test_without_a_folder_every_run_has_its_own() -> None:
    one, two = Credentials.load(None, START), Credentials.load(None, START)
    assert one.admin_token != two.admin_token


def test_a_kubeconfig_carries_server_authority_and_token() -> None:
    found = yaml.safe_load(kubeconfig("https://x:1", b"pem", "admin", "t"))
    assert found["clusters"][0]["cluster"]["server"] == "https://x:1"
    assert found["users"][0]["user"] == {"token": "t"}
    plain = yaml.safe_load(kubeconfig("http://x:1", None, "admin", "t"))
    assert "certificate-authority-data" not in plain["clusters"][0]["cluster"]


def test_a_private_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_private(path, b"one")
    write_private(path, b"two")
    assert [each.name for each in tmp_path.iterdir()] == ["f"]
    assert path.read_bytes() == b"two"
