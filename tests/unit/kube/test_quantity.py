import pytest

from pipeops.kube.quantity import milli, whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1000),
        ("250m", 250),
        ("0.1", 100),
        ("1500000n", 2),
        ("2k", 2_000_000),
        ("1e3", 1_000_000),
        ("-1", -1000),
        (".5", 500),
    ],
)
def test_cores_are_millicores_rounded_up(text: str, expected: int) -> None:
    assert milli(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("128Mi", 128 << 20), ("1.5Gi", 3 << 29), ("65843196Ki", 65843196 << 10), ("1M", 10**6)],
)
def test_memory_is_bytes(text: str, expected: int) -> None:
    assert whole(text) == expected


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1Gib", "--1", "1e", "1" * 40, "\u0661"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        whole(text)
