"""`services.allow`: how the list of Services is read from a file, a flag or a variable."""

import re
from typing import Final

from pipeops.runtime.setting_values import words

_ALLOWED: Final = re.compile(r"[a-z0-9*-]{1,63}/[a-z0-9*-]{1,63}:([0-9]{1,5}|\*)")
MAX_ALLOWED: Final = 500


def service_list(value: object) -> tuple[str, ...]:
    """The parser of `services.allow`.

    Raises:
        ValueError: the expected form.
    """
    listed = words(value)
    if len(listed) > MAX_ALLOWED or not all(map(_ALLOWED.fullmatch, listed)):
        raise ValueError(f"a list of at most {MAX_ALLOWED} entries such as shop/web:80 or shop/*:*")
    return listed
