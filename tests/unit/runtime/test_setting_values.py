import pytest

from pipeops.runtime import setting_values as values


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("500ms", 0.5),
        ("1h1m1.5s", 3661.5),
        ("30", 30),
        (30, 30),
        (0.5, 0.5),
        (" 2s ", 2),
    ],
)
def test_durations(written, seconds):
    assert values.duration()(written) == seconds


def test_bare_number_may_count_in_another_unit():
    assert values.duration(unit="h", high=1e6)(4) == 14_400


@pytest.mark.parametrize("written", ["", "5 m", "-3s", "s", "1d", True, None, [], "9" * 100, "25h"])
def test_wrong_durations_say_what_is_expected(written):
    with pytest.raises(ValueError, match="500ms, 30s or 5m"):
        values.duration()(written)


@pytest.mark.parametrize("word", ["1", "t", "TRUE", "yes", "On", True, 1])
def test_true(word):
    assert values.boolean(word) is True


@pytest.mark.parametrize("word", ["0", "F", "false", "no", "off", False, 0])
def test_false(word):
    assert values.boolean(word) is False


def test_other_words_are_neither():
    with pytest.raises(ValueError, match="true or false"):
        values.boolean("maybe")


@pytest.mark.parametrize(("written", "number"), [("8080", 8080), (0, 0), ("0x10", 16)])
def test_integers(written, number):
    assert values.integer(0, 65_535)(written) == number


@pytest.mark.parametrize("written", ["65536", -1, "8o", True, 1.5, None])
def test_integers_out_of_range(written):
    with pytest.raises(ValueError, match="from 0 to 65535"):
        values.integer(0, 65_535)(written)


def test_text_takes_numbers_but_a_secret_does_not():
    assert values.text(5) == "5"
    assert values.text(" a ") == "a"
    for wrong in (True, None, [], 1.5):
        with pytest.raises(ValueError, match="text"):
            values.text(wrong)
    assert values.secret(" s ").reveal() == "s"
    with pytest.raises(ValueError, match="quotes"):
        values.secret(5)


@pytest.mark.parametrize("written", ["https://cp", "http://[::1]:8080/base?x=1", "wss://h"])
def test_urls(written):
    assert values.url("https", "http", "wss")(written) == written


@pytest.mark.parametrize(
    "written", ["cp.example", "ftp://h", "https://", "https://h:99999", "https://h:0", 5, "//h"]
)
def test_wrong_urls(written):
    with pytest.raises(ValueError, match="a URL such as https://"):
        values.url("https", "http")(written)


def test_a_url_with_a_password_is_refused():
    with pytest.raises(ValueError, match="without a user name"):
        values.url("https")("https://u:p@h")


def test_choice_in_any_case():
    assert values.choice("auto", "never")("Auto") == "auto"
    with pytest.raises(ValueError, match="one of auto, never"):
        values.choice("auto", "never")("x")


def test_mappings_keep_case_and_dots():
    expected = {"app.kubernetes.io/Name": "X", "n": "1", "b": "true"}
    assert values.mapping({"app.kubernetes.io/Name": "X", "n": 1, "b": True}) == expected
    assert values.mapping("app.kubernetes.io/Name=X, n=1,b=true,") == expected
    for wrong in ({"a": {}}, {"a": None}, [], "a", "=b", 5):
        with pytest.raises(ValueError, match="mapping"):
            values.mapping(wrong)


def test_words():
    assert values.words("a, b,,") == ("a", "b")
    assert values.words(["a", 1]) == ("a", "1")
    with pytest.raises(ValueError, match="commas"):
        values.words([{}])
