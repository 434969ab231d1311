"""Just enough X.509 to say when a certificate is valid and who signed it; the TLS library never tells."""

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
_BMP_STRING: Final = 0x1E
_COMMON_NAME: Final = bytes((0x55, 0x04, 0x03))  # 2.5.4.3
_ORGANISATION: Final = bytes((0x55, 0x04, 0x0A))  # 2.5.4.10


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
        return validity_of(base64.b64decode(found.group(1)))
    except (binascii.Error, ValueError):
        return None


def validity_of(der: bytes) -> Validity | None:
    """Return the validity of a certificate in DER, `None` if it cannot be read."""
    try:
        return _validity(der)
    except (ValueError, IndexError):
        return None


def issuer_name(der: bytes) -> str:
    """Return the issuer of a certificate in DER: common name and organisation; empty if it has none."""
    names = {}
    try:
        _, issuer, _ = _fields(der, 0)
        position = 0
        while position < len(issuer):
            _, relative, position = _element(issuer, position)
            _, pair, _ = _element(relative, 0)
            _, kind, value_at = _element(pair, 0)
            tag, value, _ = _element(pair, value_at)
            names[kind] = value.decode("utf-16-be" if tag == _BMP_STRING else "utf-8", "replace")
    except (ValueError, IndexError):
        return ""
    found = [names[kind] for kind in (_COMMON_NAME, _ORGANISATION) if names.get(kind)]
    return ", ".join("".join(c if c.isprintable() else "?" for c in name)[:128] for name in found)


def _fields(der: bytes, skip: int) -> tuple[int, bytes, int]:
    """Return the issuer (`skip` 0) or what follows it.

    RFC 5280 section 4.1: Certificate { tbs { [0] version?, serial, algorithm, issuer, validity …
    """
    _, certificate, _ = _element(der, 0)
    _, tbs, _ = _element(certificate, 0)
    tag, _, position = _element(tbs, 0)
    for _ in range((2 if tag == _VERSION else 1) + skip):
        _, _, position = _element(tbs, position)
    return _element(tbs, position)


def _validity(der: bytes) -> Validity:
    tag, validity, _ = _fields(der, 1)
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
