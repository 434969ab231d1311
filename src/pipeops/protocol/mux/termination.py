"""Why a session ended, in a form that both code and people can read."""

from dataclasses import dataclass

from pipeops.protocol.mux.frames import GoAwayCode


@dataclass(frozen=True, slots=True)
class Termination:
    """The end of a session.

    Attributes:
        code: what was, or would have been, told to the other side.
        reason: one lower-case sentence for the log; holds no data of any stream.
        by_peer: the other side ended it.
    """

    code: GoAwayCode
    reason: str
    by_peer: bool = False
