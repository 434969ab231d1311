"""docs/reference/protocol.md against the code: every offset, value, name and key."""

import re
from enum import IntEnum
from itertools import accumulate, pairwise
from struct import Struct, calcsize

import pytest

from pipeops.agent.proxy import failure
from pipeops.control.edge import kube
from pipeops.protocol.exchange import native, opening
from pipeops.protocol.exchange.service_failure import STATUS
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages import control, heartbeat, negotiation, registration
from pipeops.protocol.mux import frames
from tests.docs.markdown import tables


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs/reference/protocol.md").read_text()


@pytest.fixture(scope="module")
def wire(page):
    return tables(page)


def plain(cell: str) -> str:
    return cell.strip("`")


def layout(struct: Struct) -> list[tuple[int, int]]:
    """Offset and size of each field of a packed struct."""
    codes = re.findall(r"\d*s|[A-Za-z]", struct.format.lstrip(">"))
    sizes = [calcsize(">" + code) for code in codes]
    return list(zip(accumulate([0, *sizes[:-1]]), sizes, strict=True))


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("stream-head", native._FIXED),
        ("preface", native._PREFACE),
        ("yamux-header", frames._HEADER),
        ("stream-opening", opening._FIXED),
    ],
)
def test_byte_tables_have_the_offsets_of_the_code(wire, name, struct):
    written = [(int(row["offset"]), int(row["size"])) for row in wire[name]]
    assert written == layout(struct)
    for (offset, size), (following, _) in pairwise(written):
        assert offset + size == following


def test_the_order_of_stream_head_fields(wire):
    head = native.fixed_part(
        kind=3, flags=2, deadline_ms=5, body_length=7, request_id=bytes(range(16)),
        target_length=11, principal_length=13, http_length=17,
    )  # fmt: skip
    value = {
        row["field"].split(",")[0]: int.from_bytes(
            head[int(row["offset"]) : int(row["offset"]) + int(row["size"])], "big"
        )
        for row in wire["stream-head"]
    }
    assert value.pop("request id") == int.from_bytes(bytes(range(16)), "big")
    assert list(value.values()) == [2, 3, 2, 40 + 11 + 13 + 17, 5, 7, 11, 13]


def test_the_order_of_preface_fields():
    preface = native.encode_preface(4, 101, 300, reusable=True)
    assert preface == bytes([4, 1, 0, 101, 0, 0, 1, 44])


def test_the_failures_of_services(wire):
    written = {row["failure"]: int(row["status"]) for row in wire["service-failures"]}
    assert written == {failure.value: status for failure, status in STATUS.items()}


def test_limits_and_versions_in_the_text(page, wire):
    fields = " ".join(row["field"] for row in wire["stream-head"])
    assert f"version, {native.NATIVE_VERSION} " in fields
    assert f"at most {native.MAX_HEAD_BYTES}" in fields
    assert native.UNKNOWN_LENGTH == 2**64 - 1
    assert f"Behind these {native.FIXED_BYTES} bytes" in page
    assert f"Behind these {opening._FIXED.size} bytes" in page
    assert f"version, {opening.OPENING_VERSION}" in wire["stream-opening"][0]["field"]
    assert [int(kind) for kind in opening.TunnelProtocol] == [1, 2]


@pytest.mark.parametrize(
    ("name", "column", "enum"),
    [
        ("stream-kinds", "kind", native.StreamKind),
        ("framings", "framing", native.Framing),
        ("go-away-codes", "code", frames.GoAwayCode),
    ],
)
def test_enumerations(wire, name, column, enum: type[IntEnum]):
    assert {row[column]: int(row["value"]) for row in wire[name]} == {
        member.name: member.value for member in enum
    }


def test_head_flags(wire):
    flags = {flag.name: flag.value for flag in native.HeadFlag if flag}
    assert {row["flag"]: int(row["value"]) for row in wire["head-flags"]} == flags


@pytest.mark.parametrize(("name", "column"), [("yamux-types", "type"), ("yamux-flags", "flag")])
def test_yamux_numbers(wire, name, column):
    for row in wire[name]:
        assert getattr(frames, row[column]) == int(row["value"])


def test_hops(wire):
    assert [plain(row["hop"]) for row in wire["hops"]] == [hop.value for hop in Hop]


def test_stream_end_codes_and_what_clients_see(wire):
    written = {plain(row["code"]): int(next(iter(status(row)))) for row in wire["stream-end-codes"]}
    assert set(failure._CODES.values()) <= written.keys()
    for code, expected in written.items():
        assert kube._code_of(control.StreamEnd(stream=1, code=code)) == expected


def status(row: dict[str, str]) -> list[str]:
    return [cell for column, cell in row.items() if column.startswith("status")]


def test_every_code_that_the_agent_sends_is_in_the_table(root, wire):
    sent = set(failure._CODES.values()) | {"failed"}
    for path in (root / "src/pipeops/agent").rglob("*.py"):
        sent |= set(re.findall(r'_announce\([^,()]+, "([a-z_]+)"', path.read_text()))
        sent |= set(re.findall(r'_announce\(self\._stream\.id, "([a-z_]+)"', path.read_text()))
    assert sent == {plain(row["code"]) for row in wire["stream-end-codes"]}


def test_handshake_headers_and_features(wire):
    headers = {value for name, value in vars(negotiation).items() if name.endswith("_HEADER")}
    assert {plain(row["header"]) for row in wire["handshake-headers"]} == headers
    features = {feature.value for feature in negotiation.Feature}
    assert {plain(row["feature"]) for row in wire["features"]} == features


def test_extension_keys(wire):
    ours = {
        (payload.TYPE, field)
        for payload in (registration.Register, registration.RegisterSuccess, control.ErrorMessage)
        for field in payload.__struct_fields__
        if field.startswith("x_")
    }
    ours |= {
        (heartbeat.Heartbeat.TYPE, field)
        for field in heartbeat.HeartbeatMetadata.__struct_fields__
        if field.startswith("x_")
    }
    assert {(plain(row["message"]), plain(row["key"])) for row in wire["extension-keys"]} == ours
    assert "x_native" in registration.Features.__struct_fields__
