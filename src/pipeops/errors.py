"""The root of every error PipeOps raises on purpose.

```text
PipeOpsError                     retryable: bool = False
└─ protocol.errors.ProtocolError …    the tunnel's own rules (see there)
```

Each room hangs its own branch below this root and draws it in its module docstring.
Messages are lower-case sentences without a final period and never hold a secret; numbers
and names that a caller may decide by are attributes, not text.
"""

from typing import ClassVar


class PipeOpsError(Exception):
    """Base of all errors that PipeOps raises on purpose."""

    #: True: the same call may succeed later, with nothing changed by the caller.
    retryable: ClassVar[bool] = False
