"""ApiServer: serves the operators' API with uvicorn, inside a process that has its own signals and logs."""

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from pipeops.control.api.app import create_app
from pipeops.control.api.services import ApiServices
from pipeops.runtime.logs import library_logger


class ApiServer(uvicorn.Server):
    """`serve(sockets=…)` until its task is cancelled."""

    def __init__(self, services: ApiServices) -> None:
        library_logger("uvicorn.error")
        super().__init__(
            uvicorn.Config(
                create_app(services), lifespan="off", log_config=None, access_log=False, ws="none"
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn: leave the signal handlers alone."""
        yield
