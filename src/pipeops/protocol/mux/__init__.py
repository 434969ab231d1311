"""Many streams on one ordered byte channel (yamux wire format)."""

from pipeops.protocol.mux.frames import GoAwayCode
from pipeops.protocol.mux.session import Role, Session
from pipeops.protocol.mux.sink import StreamSink
from pipeops.protocol.mux.stream import Stream
from pipeops.protocol.mux.termination import Termination

__all__ = ["GoAwayCode", "Role", "Session", "Stream", "StreamSink", "Termination"]
