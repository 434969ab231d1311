"""The stand-in sink takes everything and does nothing."""

from pipeops.protocol.mux.sink import NullSink


def test_null_sink_ignores_every_call():
    sink = NullSink()
    sink.on_data(memoryview(b"x"), True)
    sink.on_writable()
    sink.on_reset()
