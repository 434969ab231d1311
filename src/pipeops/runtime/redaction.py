"""What a log line must never show, and how long it may get."""

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "***"
MAX_TEXT: Final = 2048
MAX_TRACEBACK: Final = 16_384
MAX_ITEMS: Final = 32
MAX_DEPTH: Final = 3

# `has_token` (a bool) and `token_source` (another last word) stay readable.
_SECRET_WORDS: Final = frozenset(
    [
        "token",
        "tokens",
        "password",
        "passwd",
        "secret",
        "secrets",
        "authorization",
        "cookie",
        "credential",
        "credentials",
    ]
)
_SECRET_NAMES: Final = frozenset({"api_key", "apikey", "private_key", "set_cookie", "session_key"})
_WORD_BREAK: Final = re.compile(r"[_\-.\s]+")

_SECRET_TEXT: Final = re.compile(
    r"""(?ix)
      \b(bearer|basic)\s+[\w\-.~+/=]{6,}                                     # credentials of a header
    | \bpipeops_[a-z]{1,2}_[\w\-]{16,}                                        # our own tokens
    | \beyJ[\w\-]{6,}\.[\w\-]{4,}(?:\.[\w\-]*)?                              # JSON web tokens
    | \bK10[0-9a-f]{16,}::[\w:.\-]+                                           # join tokens of k3s
    | (?<=[?&;])(?:access_|refresh_|id_|auth_)?(?:token|password|secret|api_key|apikey)=[^&\s"']+
    | (?<=://)[^/\s:@"']*:[^/\s@"']+(?=@)                                    # user:password@host
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*-----|\Z)
    """,
    re.DOTALL,
)


def is_secret_name(name: str) -> bool:
    """Whether a field, header or setting of this name holds a secret."""
    words = _WORD_BREAK.split(name.lower())
    return words[-1] in _SECRET_WORDS or "_".join(words) in _SECRET_NAMES


def redact_text(text: str, limit: int = MAX_TEXT) -> str:
    """Hide credentials inside `text` and cut it to about `limit` characters."""
    # Cut first, far enough behind the limit that a credential at the limit is still recognised.
    text = _SECRET_TEXT.sub(_hide, text[: limit + 4096])
    if len(text) > limit:
        return f"{text[:limit]}… (cut)"
    return text


def redact_value(value: object, *, depth: int = 0) -> object:
    """Return `value` as something bounded, JSON-ready and free of recognisable credentials."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return redact_text(value)
        case bytes() | bytearray() | memoryview():
            return redact_text(bytes(value[: MAX_TEXT + 1]).decode("utf-8", "backslashreplace"))
        case _ if depth >= MAX_DEPTH:
            return "…"
        case Mapping():
            return redact_fields(value, depth=depth + 1)
        case list() | tuple() | set() | frozenset():
            items: list[object] = []
            for item in value:
                if len(items) == MAX_ITEMS:
                    items.append(f"… ({len(value)} in all)")
                    break
                items.append(redact_value(item, depth=depth + 1))
            return items
        case _:
            return redact_text(str(value))


def redact_fields(fields: Mapping[Any, object], *, depth: int = 0) -> dict[str, object]:
    """Redact every field by name and by content; at most `MAX_ITEMS` of a nested mapping."""
    result: dict[str, object] = {}
    for key, value in fields.items():
        name = str(key)
        if depth and len(result) == MAX_ITEMS:
            result["…"] = f"{len(fields)} in all"
            break
        hide = value is not None and not isinstance(value, bool) and is_secret_name(name)
        result[name] = HIDDEN if hide else redact_value(value, depth=depth)
    return result


def _hide(match: re.Match[str]) -> str:
    text = match.group()
    if match.group(1):
        return f"{match.group(1)} {HIDDEN}"
    name, equals, _ = text.partition("=")
    if equals and match.string[match.start() - 1 : match.start()] in {"?", "&", ";"}:
        return f"{name}={HIDDEN}"
    return HIDDEN
