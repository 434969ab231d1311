import pytest

from pipeops.sim.errors import ApiError
from pipeops.sim.negotiation import Form, choose, decode, dump_yaml, encode, load_yaml
from pipeops.sim.openapi.protobuf import field
from pipeops.sim.schema.wire import MAGIC

KUBECTL = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def test_the_first_form_that_we_can_serve_is_chosen() -> None:
    assert choose(KUBECTL, ("Table",)).convert == "Table"
    assert choose(KUBECTL).convert == ""
    typed = "application/vnd.kubernetes.protobuf,application/json"
    assert choose(typed).content_type == "application/json"
    assert choose("application/json;q=0.1, application/yaml").yaml


def test_a_form_that_nobody_serves_is_not_acceptable() -> None:
    with pytest.raises(ApiError) as caught:
        choose("text/html")
    assert caught.value.code == 406


def test_bodies_are_read_by_their_type() -> None:
    expected = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert decode(b'{"apiVersion":"v1","kind":"ConfigMap"}', "application/json") == expected
    assert decode(b"apiVersion: v1\nkind: ConfigMap\n", "application/yaml") == expected
    envelope = MAGIC + field(1, field(1, "v1") + field(2, "ConfigMap"))
    assert decode(envelope, "application/vnd.kubernetes.protobuf") == expected


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"a: [", "application/yaml", 400),
        (b"x", "application/vnd.kubernetes.protobuf", 400),
        (b"{}", "text/html", 415),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes, kind: str, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        decode(body, kind)
    assert caught.value.code == code


def test_yaml_reads_as_kubernetes_does() -> None:
    assert load_yaml(b"when: 2026-01-01T00:00:00Z") == {"when": "2026-01-01T00:00:00Z"}


def test_yaml_is_written_as_go_writes_it() -> None:
    value = {"b": "1", "a": "text", "c": "two\nlines\n", "d": 5}
    assert dump_yaml(value) == b'a: text\nb: "1"\nc: |\n  two\n  lines\nd: 5\n'
    assert load_yaml(dump_yaml(value)) == value


def test_json_ends_with_a_newline() -> None:
    assert encode({"a": 1}, Form()) == b'{"a":1}\n'
    assert encode({"a": 1}, Form(yaml=True)) == b"a: 1\n"
