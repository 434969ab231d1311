"""Kubernetes quantities (`250m`, `1.5Gi`) as integers."""

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Final

_FORM: Final = re.compile(
    r"([+-]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20}))"
    r"(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])|[eE]([+-]?\d{1,2}))?",
    re.ASCII,
)
_SUFFIXES: Final = {
    **{unit: Decimal(1024) ** (power + 1) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti"))},
    "Pi": Decimal(1024) ** 5,
    "Ei": Decimal(1024) ** 6,
    **{unit: Decimal(10) ** power for unit, power in zip("num", (-9, -6, -3), strict=True)},
    **{
        unit: Decimal(10) ** power
        for unit, power in zip("kMGTPE", (3, 6, 9, 12, 15, 18), strict=True)
    },
}


@lru_cache(maxsize=4096)
def milli(text: str) -> int:
    """Return a quantity in thousandths, rounded up as the scheduler does: `1` is 1000 (CPU cores to millicores).

    Raises:
        ValueError: it is none.
    """
    return scaled(text, 1000)


@lru_cache(maxsize=4096)
def whole(text: str) -> int:
    """Return a quantity in units, rounded up: `1Ki` is 1024 (bytes, pods).

    Raises:
        ValueError: it is none.
    """
    return scaled(text, 1)


def scaled(text: str, factor: int) -> int:
    """Return a quantity times `factor`, rounded up, without remembering it.

    Raises:
        ValueError: it is none.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"not a quantity: {text[:40]!r}")
    number, suffix, exponent = found.groups()
    value = Decimal(number) * factor
    if suffix:
        value *= _SUFFIXES[suffix]
    elif exponent:
        value = value.scaleb(int(exponent))
    return int(value.to_integral_value(ROUND_CEILING))
