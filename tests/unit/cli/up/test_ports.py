"""Ports: remembered ones must be free, first ones may move; holders have names."""

import pytest

from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.up import ports
from pipeops.cli.up.ports import Holder, choose_port, find_holder


@pytest.fixture
def busy(monkeypatch):
    taken = set()
    monkeypatch.setattr(ports, "is_free", lambda port: port not in taken)
    monkeypatch.setattr(ports, "any_free", lambda: 50_000)
    monkeypatch.setattr(ports, "find_holder", lambda port: Holder(42, "nginx -g"))
    return taken


def choose(remembered=None, wanted=None):
    return choose_port("the control plane", remembered=remembered, wanted=wanted, default=8443)


def test_first_run_takes_the_default_or_a_free_one(busy):
    assert choose() == 8443
    busy.add(8443)
    assert choose() == 50_000


def test_later_runs_keep_their_port(busy):
    assert choose(remembered=9000) == 9000
    assert choose(remembered=9000, wanted=9001) == 9001


@pytest.mark.parametrize("how", ["remembered", "wanted"])
def test_a_fixed_port_that_is_busy_names_the_holder(busy, how):
    busy.add(9000)
    with pytest.raises(CliError, match=r"9000 .* in use by process 42 \(nginx -g\)") as caught:
        choose(**{how: 9000})
    assert caught.value.code is ExitCode.CONFLICT
    assert "--port" in caught.value.hint


@pytest.fixture
def proc(tmp_path):
    """Build a /proc with one listener on port 8443 (0x20FB) and one connection to it."""
    (tmp_path / "net").mkdir()
    header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    line = (
        "   {}: 0100007F:20FB 00000000:0000 {} 00000000:00000000 00:00000000 00000000  0  0 {} 1\n"
    )
    (tmp_path / "net" / "tcp").write_text(
        header + line.format(0, "01", 111) + line.format(1, "0A", 222)
    )
    for pid, inode in (("7", 111), ("8", 222)):
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "fd" / "3").symlink_to(f"socket:[{inode}]")
        (tmp_path / pid / "cmdline").write_bytes(b"python\0-m\0server\0--password\0secret\0")
    (tmp_path / "self").mkdir()
    return tmp_path


def test_the_listener_is_found_and_its_later_arguments_are_not_told(proc):
    assert find_holder(8443, proc) == Holder(8, "python -m server")


def test_an_unknown_holder_is_none(proc):
    assert find_holder(8444, proc) is None
    (proc / "8" / "fd" / "3").unlink()
    assert find_holder(8443, proc) is None
    assert find_holder(8443, proc / "nowhere") is None
