"""Principal: the person on whose behalf a tunnelled request is made."""

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """Whom the agent impersonates towards the API server.

    Attributes:
        user: Name for ``Impersonate-User``.
        groups: Names for ``Impersonate-Group``, in order.
        extra: Key and value pairs for ``Impersonate-Extra-*``; a key may occur more than once.
    """

    user: str
    groups: tuple[str, ...]
    extra: tuple[tuple[str, str], ...]
