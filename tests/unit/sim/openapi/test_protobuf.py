from pipeops.sim.openapi.protobuf import document, field, schema, varint


def test_numbers_are_cut_into_seven_bits() -> None:
    assert (varint(5), varint(300)) == (b"\x05", b"\xac\x02")


def test_a_field_carries_its_length() -> None:
    assert field(1, "ab") == b"\x0a\x02ab"


def test_a_schema_has_its_parts_under_their_numbers() -> None:
    node = {"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-z": [1]}
    encoded = schema(node)
    inner = field(1, field(1, "a") + field(2, field(22, field(1, "string"))))
    assert field(22, field(1, "object")) in encoded
    assert field(25, inner) in encoded
    assert field(31, field(1, "x-kubernetes-z") + field(2, field(2, "[1]"))) in encoded


def test_a_document_has_paths_and_definitions() -> None:
    operation = {"operationId": "x", "parameters": [{"name": "dryRun"}]}
    body = {
        "swagger": "2.0",
        "info": {"title": "T", "version": "v"},
        "paths": {"/p": {"patch": operation}},
        "definitions": {"D": {"type": "object"}},
    }
    encoded = document(body)
    query = field(2, "query") + field(4, "dryRun")
    assert field(8, field(1, field(2, field(3, query)))) in encoded
    assert field(1, field(1, "D") + field(2, schema({"type": "object"}))) in encoded
