"""One entry of `tunnel.forwards`, and how the list is read from a file, a flag or a variable."""

from typing import Any

import msgspec

_EXPECTED = (
    'a list such as [{"name": "agent-http", "local_addr": "localhost:8080", "remote_port": 0}]'
)
_KEYS = {"name": "name", "localaddr": "local_addr", "remoteport": "remote_port"}
MAX_FORWARDS = 64


class ConfiguredForward(msgspec.Struct, frozen=True):
    """An address in the cluster; `remote_port` 0 is assigned by the control plane, always the same."""

    name: str = ""
    local_addr: str = ""
    remote_port: int = 0


def forward_list(value: object) -> tuple[ConfiguredForward, ...]:
    """The parser of the setting; keys in any case, with or without underscores.

    Raises:
        ValueError: the expected form.
    """
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise ValueError(f"{_EXPECTED} (as JSON: {error})") from None
    if not isinstance(value, list) or len(value) > MAX_FORWARDS:
        raise ValueError(_EXPECTED)
    return tuple(_forward(item) for item in value)


def _forward(item: Any) -> ConfiguredForward:
    if not isinstance(item, dict):
        raise ValueError(_EXPECTED)  # noqa: TRY004 -- the loader's contract
    keys = {_KEYS.get(str(key).lower().replace("_", "")): entry for key, entry in item.items()}
    name, address, port = keys.get("name"), keys.get("local_addr"), keys.get("remote_port", 0)
    if None in keys or not isinstance(name, str) or not isinstance(address, str):
        raise ValueError(_EXPECTED)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65_536:
        raise ValueError(_EXPECTED)
    host, colon, number = address.removeprefix("udp://").rpartition(":")
    if not colon or not host or not number.isdecimal() or not 0 < int(number) < 65_536:
        raise ValueError(f"{_EXPECTED}; local_addr is host:port")
    return ConfiguredForward(name, address, port)
