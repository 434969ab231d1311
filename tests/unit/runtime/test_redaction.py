import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.runtime import redaction
from pipeops.runtime.secrets import Secret

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=60,
)


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "Authorization",
        "k8s_service_token",
        "grafana_password",
        "set-cookie",
        "client.secret",
    ],
)
def test_secret_by_name(name):
    assert redaction.redact_fields({name: "canary"}) == {name: "***"}


@pytest.mark.parametrize(
    ("name", "value"), [("has_token", True), ("token_source", "file"), ("token", None)]
)
def test_harmless_neighbours_stay_readable(name, value):
    assert redaction.redact_fields({name: value}) == {name: value}


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer canary-canary",
        "basic Y2FuYXJ5Y2FuYXJ5canary",
        "got eyJhbGciOi.eyJzdWIiOiJjYW5hcnkcanary.canary",
        "refused pipeops_u_canary-canary-canary-canary",
        "GET /ws?access_token=canary&x=1",
        "http://user:canary@proxy:3128/",
        "-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\ncanary",
    ],
)
def test_credentials_inside_text_are_hidden(text):
    hidden = redaction.redact_text(text)
    assert "canary" not in hidden
    assert "***" in hidden


def test_the_rest_of_a_text_survives():
    assert redaction.redact_text("GET /ws?token=abc&x=1") == "GET /ws?token=***&x=1"
    assert redaction.redact_text("dial https://cp:8443/api failed") == (
        "dial https://cp:8443/api failed"
    )


def test_a_credential_on_the_cut_is_not_half_shown():
    text = "x" * (redaction.MAX_TEXT - 8) + " Bearer " + "canary" * 100
    assert "canary" not in redaction.redact_text(text)


def test_nested_secrets_and_secret_objects():
    value = {
        "headers": {"authorization": "canary"},
        "s": Secret("canary"),
        "l": [{"token": "canary"}],
    }
    assert "canary" not in str(redaction.redact_fields(value))


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_any_value_becomes_bounded_json(fields):
    done = redaction.redact_fields(fields)
    assert len(msgspec.json.encode(done)) < 5 * 32**3 * 8000
    assert set(done) <= {str(key) for key in fields}


def test_long_and_deep_values_are_cut():
    assert redaction.redact_value("x" * 5000) == "x" * redaction.MAX_TEXT + "… (cut)"
    assert redaction.redact_value([[[["deep"]]]]) == [[["…"]]]
    cut = redaction.redact_value(list(range(100)))
    assert isinstance(cut, list)
    assert len(cut) == redaction.MAX_ITEMS + 1
    assert cut[-1] == "… (100 in all)"
    many = redaction.redact_value({i: i for i in range(100)})
    assert isinstance(many, dict)
    assert many["…"] == "100 in all"
