import pytest

from pipeops.sim.openapi.protobuf import field, varint
from pipeops.sim.schema.wire import MAGIC, MalformedError, decode_envelope


def number(tag: int, value: int) -> bytes:
    return varint(tag << 3) + varint(value)


def envelope(version: str, kind: str, raw: bytes) -> bytes:
    return MAGIC + field(1, field(1, version) + field(2, kind)) + field(2, raw)


def test_text_maps_and_embedded_structs_are_read() -> None:
    meta = field(1, "a") + field(11, field(1, "k") + field(2, "v"))
    data = field(1, "x") + field(2, "1")
    found = decode_envelope(envelope("v1", "ConfigMap", field(1, meta) + field(2, data)))
    assert found == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "labels": {"k": "v"}},
        "data": {"x": "1"},
    }


def test_zero_values_stay_only_where_the_field_is_a_pointer() -> None:
    spec = number(1, 0) + number(5, 0)  # replicas is a pointer, minReadySeconds is not
    found = decode_envelope(envelope("apps/v1", "Deployment", field(2, spec)))
    assert found["spec"] == {"replicas": 0}


def test_volumes_quantities_and_ports_are_read() -> None:
    source = field(2, field(2, b""))  # volumeSource.emptyDir
    volume = field(1, field(1, "v") + source)
    limits = field(8, field(1, field(1, "cpu") + field(2, field(1, "500m"))))
    probe = field(10, field(1, field(2, field(2, number(1, 1) + field(3, "http")))))
    container = field(2, field(1, "c") + limits + probe)
    found = decode_envelope(envelope("v1", "Pod", field(2, volume + container)))
    assert found["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]
    (first,) = found["spec"]["containers"]
    assert first["resources"] == {"limits": {"cpu": "500m"}}
    assert first["livenessProbe"]["httpGet"]["port"] == "http"


def test_bytes_become_base64_and_times_text() -> None:
    data = field(2, field(1, "k") + field(2, b"\x00\xff"))
    meta = field(1, field(8, number(1, 1_767_225_600)))
    found = decode_envelope(envelope("v1", "Secret", meta + data))
    assert found["data"] == {"k": "AP8="}
    assert found["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"


def test_lists_inside_maps_are_read() -> None:
    extra = field(5, field(1, "scopes") + field(2, field(1, "a") + field(1, "b")))
    body = envelope("authorization.k8s.io/v1", "SubjectAccessReview", field(2, extra))
    assert decode_envelope(body)["spec"]["extra"] == {"scopes": ["a", "b"]}


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        MAGIC + b"\x0a\xff",
        envelope("v1", "NoSuchKind", b""),
        envelope("v1", "ConfigMap", b"\x0a\x05abc"),
        envelope("v1", "ConfigMap", field(1, field(1, b"\xff\xfe"))),
        envelope("v1", "ConfigMap", number(1, 5)),
        MAGIC + b"\xff" * 20,
    ],
)
def test_what_is_malformed_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_envelope(body)
