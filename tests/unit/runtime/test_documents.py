import pytest

from pipeops.runtime import documents
from pipeops.runtime.documents import DocumentError, read_yaml


def test_reads_yaml_and_json(tmp_path):
    path = tmp_path / "f"
    path.write_text("a: [1, yes]\n")
    assert read_yaml(path, "config") == {"a": [1, True]}
    path.write_text('{"a": "b"}')
    assert read_yaml(path, "config") == {"a": "b"}
    path.write_text("")
    assert read_yaml(path, "config") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"a: b: c", "line 1, column 5"), (b"\xff\xfe\x00", "not YAML"), (b"!!python/x 1", "line 1")],
)
def test_errors_name_the_place(tmp_path, content, words):
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=words) as caught:
        read_yaml(path, "config file")
    assert str(caught.value).startswith(f"config file {path}: ")


def test_missing_and_huge(tmp_path, monkeypatch):
    with pytest.raises(DocumentError, match="No such file"):
        read_yaml(tmp_path / "no", "config")
    monkeypatch.setattr(documents, "MAX_BYTES", 3)
    path = tmp_path / "f"
    path.write_text("abcd")
    with pytest.raises(DocumentError, match="larger than 3"):
        read_yaml(path, "config")
