"""Just enough X.509 to say when a certificate is valid; the TLS library never tells."""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\s(.*?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERAL_TIME: Final = 0x18


class Validity(NamedTuple):
    """First and last moment of a certificate."""

    not_before: datetime
    not_after: datetime


def certificate_count(pem: bytes) -> int:
    """How many certificates a PEM bundle holds."""
    return len(_PEM.findall(pem))


def first_validity(pem: bytes) -> Validity | None:
    """Return the validity of the first certificate in `pem`, `None` if it cannot be read."""
    found = _PEM.search(pem)
    if found is None:
        return None
    try:
        return _validity(base64.b64decode(found.group(1)))
    except (binascii.Error, ValueError, IndexError):
        return None


def _validity(der: bytes) -> Validity:
    # RFC 5280 section 4.1: Certificate { tbs { [0] version?, serial, algorithm, issuer, validity …
    _, certificate, _ = _element(der, 0)
    _, tbs, _ = _element(certificate, 0)
    tag, _, position = _element(tbs, 0)
    skip = 3 if tag == _VERSION else 2
    for _ in range(skip):
        _, _, position = _element(tbs, position)
    tag, validity, _ = _element(tbs, position)
    if tag != _SEQUENCE:
        raise ValueError("no validity")
    first_tag, first, position = _element(validity, 0)
    last_tag, last, _ = _element(validity, position)
    return Validity(_time(first_tag, first), _time(last_tag, last))


def _element(data: bytes, position: int) -> tuple[int, bytes, int]:
    """Cut one DER element: its tag, its content, and where the next one starts."""
    tag = data[position]
    length = data[position + 1]
    start = position + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    end = start + length
    if end > len(data):
        raise ValueError("cut off")
    return tag, data[start:end], end


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280 section 4.1.2.5.1: two-digit years below 50 are in this century.
        text = ("20" if text < "50" else "19") + text
    elif tag != _GENERAL_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
