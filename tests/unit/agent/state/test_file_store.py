"""State files: where they go, what they keep, how they are never lost."""

from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from pipeops.agent.state.fields import AgentState, StateDeniedError, StateError
from pipeops.agent.state.file_store import FileStore, candidates, file_store, find_place
from tests.support.clock import FakeClock


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "var/lib").mkdir(parents=True)
    (made / "etc").mkdir()
    return made


@pytest.fixture
def here(tmp_path: Path) -> Path:
    made = tmp_path / "here"
    made.mkdir()
    return made


def store(path: Path, **options: object) -> FileStore:
    return FileStore(path, FakeClock(), **options)  # type: ignore[arg-type]


def usual(root: Path, here: Path) -> FileStore:
    found = file_store(FakeClock(), root=root, here=here)
    assert found is not None
    return found


def test_the_first_directory_that_exists_and_can_be_written_is_taken(
    root: Path, here: Path
) -> None:
    assert find_place(root, here) == here / "tmp/agent-state.yaml"
    (root / "etc/pipeops").mkdir()
    assert find_place(root, here) == root / "etc/pipeops/agent-state.yaml"
    (root / "var/lib/pipeops").mkdir()
    assert find_place(root, here) == root / "var/lib/pipeops/agent-state.yaml"
    assert not list((root / "var/lib/pipeops").iterdir())


def test_where_nothing_can_be_written_there_is_no_place(
    root: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeops.agent.state.file_store._is_writable", lambda _: False)
    assert find_place(root, here) is None
    assert file_store(FakeClock(), root=root, here=here) is None
    monkeypatch.undo()
    monkeypatch.setattr(
        "pipeops.agent.state.file_store._is_writable", lambda path: path.name == "here"
    )
    assert find_place(root, here) == here / ".pipeops-agent-state.yaml"
    assert len(candidates(root, here)) == 4


async def test_values_survive_and_the_file_is_private(here: Path) -> None:
    path = here / "state.yaml"
    await store(path).save({"agent_id": "a-1", "cluster_id": "c-1", "epoch": "7"})
    assert await store(path).load() == AgentState(agent_id="a-1", cluster_id="c-1", epoch=7)
    assert path.stat().st_mode & 0o777 == 0o600
    assert store(path).location == f"file:{path}"


async def test_unknown_keys_and_the_go_agents_values_stay(here: Path) -> None:
    path = here / "state.yaml"
    path.write_text("agent_id: a\ncluster_token: canary\nfuture: [1, 2]\n")
    path.chmod(0o600)
    made = store(path)
    state = await made.load()
    assert state.cluster_token.reveal() == "canary"
    await made.save({"cluster_id": "c"})
    assert yaml.safe_load(path.read_text()) == {
        "agent_id": "a",
        "cluster_id": "c",
        "cluster_token": "canary",
        "future": [1, 2],
    }


async def test_a_file_that_others_can_read_is_tightened(here: Path) -> None:
    path = here / "state.yaml"
    path.write_text("agent_id: a\n")
    path.chmod(0o644)
    with capture_logs() as logs:
        assert (await store(path).load()).agent_id == "a"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "others could read" in logs[0]["event"]


@pytest.mark.parametrize("content", ["{", "- a list\n", "just words", "a: b: c", "\x00\x01"])
async def test_a_damaged_file_is_reported_and_kept(here: Path, content: str) -> None:
    path = here / "state.yaml"
    path.write_text(content)
    path.chmod(0o600)
    with capture_logs() as logs:
        assert await store(path).load() == AgentState()
    assert [each["log_level"] for each in logs] == ["error"]
    (kept,) = here.iterdir()
    assert kept.name.startswith("state.yaml.corrupt-20260101T000000Z-")
    assert kept.read_text() == content


async def test_a_damaged_file_that_cannot_be_renamed_is_never_overwritten(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = here / "state.yaml"
    path.write_text("{")
    path.chmod(0o600)

    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StateDeniedError, match=r"is damaged .* cannot be renamed"):
        await store(path).load()


async def test_a_file_that_cannot_be_read_now_is_not_damaged(here: Path) -> None:
    (here / "state.yaml").mkdir()
    with pytest.raises(StateError, match="Is a directory"):
        await store(here / "state.yaml").load()


async def test_an_empty_file_is_an_empty_state(here: Path) -> None:
    (here / "state.yaml").touch(mode=0o600)
    assert await store(here / "state.yaml").load() == AgentState()


async def test_one_damaged_value_is_put_aside_and_the_others_are_used(here: Path) -> None:
    path = here / "state.yaml"
    path.write_text('agent_id: "a\\nb"\ncluster_id: c\n')
    path.chmod(0o600)
    made = store(path)
    assert await made.load() == AgentState(cluster_id="c")
    await made.save({"agent_id": "new"})
    kept = yaml.safe_load(path.read_text())
    assert kept == {"agent_id": "new", "agent_id.corrupt": "a\nb", "cluster_id": "c"}


async def test_one_value_files_fill_only_what_is_empty_and_are_renamed(
    root: Path, here: Path
) -> None:
    places = root / "var/lib/pipeops", root / "etc/pipeops"
    for place in places:
        place.mkdir()
    (places[0] / "agent-state.yaml").write_text("agent_id: newer\n")
    (places[0] / "agent-id").write_text("older\n")
    (places[1] / "cluster-id").write_text("  c-legacy \n")
    (here / ".pipeops-cluster-token").write_text("canary")
    state = await usual(root, here).load()
    assert (state.agent_id, state.cluster_id) == ("newer", "c-legacy")
    assert state.cluster_token.reveal() == "canary"
    assert (places[0] / "agent-id.migrated").exists()
    assert (here / ".pipeops-cluster-token.migrated").exists()
    assert await usual(root, here).load() == state


async def test_a_state_on_a_read_only_place_is_read_and_written_elsewhere(
    root: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "etc/pipeops").mkdir()
    old = root / "etc/pipeops/agent-state.yaml"
    old.write_text("agent_id: baked-in\n")
    monkeypatch.setattr(
        "pipeops.agent.state.file_store._is_writable", lambda path: path.name == "tmp"
    )
    made = usual(root, here)
    assert (await made.load()).agent_id == "baked-in"
    await made.save({"cluster_id": "c"})
    assert yaml.safe_load((here / "tmp/agent-state.yaml").read_text()) == {
        "agent_id": "baked-in",
        "cluster_id": "c",
    }
    assert old.read_text() == "agent_id: baked-in\n"


async def test_a_full_disk_is_an_error_and_the_old_file_stays(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store(here / "state.yaml")
    await made.save({"agent_id": "a"})

    def full(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeops.agent.state.file_store.write_private", full)
    with pytest.raises(StateError, match="No space left"):
        await made.save({"agent_id": "b"})
    assert (await store(here / "state.yaml").load()).agent_id == "a"


async def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "agent-state.yaml"
    first, second = store(path), store(path)
    await first.load()
    await second.load()
    await first.save({"agent_id": "agent-a", "epoch": "1"})
    await second.save({"gateway_ws_url": "wss://gateway.example.com/ws"})
    await first.save({"cluster_id": "c1"})
    assert yaml.safe_load(path.read_text()) == {
        "agent_id": "agent-a", "cluster_id": "c1", "epoch": 1, "gateway_ws_url": "wss://gateway.example.com/ws",
    }  # fmt: skip


async def test_what_another_process_broke_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "agent-state.yaml"
    made = store(path)
    await made.save({"agent_id": "agent-a"})
    path.write_text("agent_id: 'two words'\nkept: by somebody\n")
    await made.save({"cluster_id": "c1"})
    assert yaml.safe_load(path.read_text()) == {
        "agent_id": "agent-a", "cluster_id": "c1", "kept": "by somebody",
    }  # fmt: skip
    path.write_text("{")
    await made.save({"cluster_id": "c2"})
    assert yaml.safe_load(path.read_text())["agent_id"] == "agent-a"
