import pytest

from pipeops.sim.validation.custom import custom_causes, type_name

SCHEMA = {
    "type": "object",
    "properties": {
        "metadata": {"type": "string"},
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 9},
                "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
                "mode": {"type": "string", "enum": ["a", "b"]},
                "tags": {"type": "array", "maxItems": 1, "items": {"type": "string"}},
                "port": {"x-kubernetes-int-or-string": True},
                "note": {"type": "string", "nullable": True},
                "rate": {"type": "number"},
            },
        },
    },
}


def problems(**spec: object) -> list[str]:
    body = {"metadata": {"name": "x"}, "spec": {"size": 3, **spec}}
    return [cause.message for cause in custom_causes(body, SCHEMA)]


def test_what_fits_passes() -> None:
    assert problems(name="abc", mode="a", tags=["x"], port="http", note=None, rate=1) == []


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"size": "x"}, 'spec.size in body must be of type integer: "string"'),
        ({"size": 0}, "should be greater than or equal to 1"),
        ({"size": 10}, "should be less than or equal to 9"),
        ({"name": "ABC"}, "should match '^[a-z]+$'"),
        ({"name": "a"}, "should be at least 2 chars long"),
        ({"name": "abcde"}, "Too long: may not be more than 4 bytes"),
        ({"mode": "c"}, 'supported values: "a", "b"'),
        ({"tags": [1]}, 'spec.tags[0] in body must be of type string: "integer"'),
        ({"tags": ["a", "b"]}, "should have at most 1 items"),
        ({"port": []}, "must be of type integer,string"),
    ],
)
def test_what_does_not_fit_is_named(spec: dict, text: str) -> None:
    (found,) = problems(**spec)
    assert text in found


def test_required_fields_are_required() -> None:
    (cause,) = custom_causes({"spec": {}}, SCHEMA)
    assert (cause.field, cause.message) == ("spec.size", "Required value")


def test_types_have_their_json_names() -> None:
    values = (True, 1, 1.5, "x", [], {}, None)
    names = ["boolean", "integer", "number", "string", "array", "object", "null"]
    assert [type_name(value) for value in values] == names
