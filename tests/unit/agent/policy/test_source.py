"""A changed policy takes over; a bad one leaves the old one in force and is reported once."""

import pytest
from structlog.testing import capture_logs

from pipeops.agent.policy.document import PolicyError
from pipeops.agent.policy.source import ConfigMapSource, FileSource, PolicyWatch, read_policy
from pipeops.kube.errors import KubeUnreachable

STRICT, LOOSE = b"version: 1\nexec: off\n", b"version: 1\n"


class FakeClient:
    """Answers with one ConfigMap."""

    def __init__(self, **data):
        self.data, self.error, self.paths = data, None, []

    async def get(self, path, kind):
        self.paths.append(path)
        if self.error:
            raise self.error
        return kind(data=self.data)


async def test_a_file_that_changes(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_bytes(STRICT)
    watch = await PolicyWatch.start(FileSource(str(path)))
    guard = watch.guard
    assert guard.policy.exec is False
    await watch.look()
    path.write_bytes(LOOSE)
    await watch.look()
    assert guard.policy.exec is True
    assert watch.failure == ""


async def test_a_bad_or_missing_file_keeps_the_old_policy_and_says_so_once(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_bytes(STRICT)
    watch = await PolicyWatch.start(FileSource(str(path)))
    guard = watch.guard
    with capture_logs() as records:
        for content in (b"version: 1\nexecc: on", b"version: 1\nexecc: on", None):
            path.unlink() if content is None else path.write_bytes(content)
            await watch.look()
            assert guard.policy.exec is False
            assert watch.failure
        path.write_bytes(STRICT)
        await watch.look()
    assert watch.failure == ""
    said = [(each["log_level"], each["event"]) for each in records]
    assert [level for level, _ in said] == ["error", "error", "info"]
    assert "old one stays in force" in said[0][1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "version: 1"),
        (b"a: b: c", "line 1"),
        (b"version: 1\nreadOnly: true\nreadOnly: false", "line 3, column 1: the key 'readOnly' is given twice"),
        (b"version: 1\ndeny: [{name: a, name: b}]", "given twice"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"version: 1\n? [a]\n: b", "policy p"),
        (b"&a [*a]", "policy p"),
    ],
)  # fmt: skip
def test_a_bad_text_is_fatal_with_its_place(text, words):
    with pytest.raises(PolicyError, match="policy p") as caught:
        read_policy(text, "p")
    assert words in str(caught.value)


async def test_at_start_a_missing_file_is_fatal(tmp_path):
    with pytest.raises(PolicyError, match="No such file"):
        await PolicyWatch.start(FileSource(str(tmp_path / "none")))
    big = tmp_path / "big"
    big.write_bytes(b"#" * (8 * 1024 * 1024 + 1))
    with pytest.raises(PolicyError, match="larger than"):
        await PolicyWatch.start(FileSource(str(big)))


async def test_a_config_map():
    client = FakeClient(**{"policy.yaml": STRICT.decode()})
    source = ConfigMapSource("ns/name", client)
    guard = (await PolicyWatch.start(source)).guard
    assert client.paths == ["/api/v1/namespaces/ns/configmaps/name"]
    assert guard.policy.exec is False
    client.data = {}
    with pytest.raises(PolicyError, match=r"ConfigMap ns/name: it has no key policy\.yaml"):
        await PolicyWatch.start(source)
    client.error = KubeUnreachable("nobody there")
    with pytest.raises(PolicyError, match="policy ConfigMap ns/name: nobody there"):
        await PolicyWatch.start(source)
