"""Sans-I/O tunnel protocol: bytes, times and commands in; bytes, callbacks and deadlines out."""
