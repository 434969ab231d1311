"""The 12-byte yamux header: its numbers, its packing.

| offset | size | field |
|---|---|---|
| 0 | 1 | version, always 0 |
| 1 | 1 | type: 0 Data, 1 WindowUpdate, 2 Ping, 3 GoAway |
| 2 | 2 | flags: 1 SYN, 2 ACK, 4 FIN, 8 RST |
| 4 | 4 | stream id; 0 = the session |
| 8 | 4 | Data: bytes that follow; WindowUpdate: credit; Ping: opaque; GoAway: code |

All big-endian. Only Data has a body. (yamux spec.md, "Framing".)
"""

from enum import IntEnum
from struct import Struct
from typing import Final

# Version and type are read as one number: with version 0 it equals the type, and a foreign
# version can be no known type.
_HEADER = Struct(">HHII")

HEADER_SIZE: Final = _HEADER.size
pack = _HEADER.pack
unpack_from = _HEADER.unpack_from

DATA: Final = 0
WINDOW_UPDATE: Final = 1
PING: Final = 2
GO_AWAY: Final = 3

SYN: Final = 1
ACK: Final = 2
FIN: Final = 4
RST: Final = 8

#: Largest value of the two 32-bit fields.
UINT32_MAX: Final = 0xFFFF_FFFF


class GoAwayCode(IntEnum):
    """Why a session ends, as the wire says it."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
