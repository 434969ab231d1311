"""ApiServer."""

import logging
import signal

from pipeops.control.api.server import ApiServer
from pipeops.control.api.services import ApiServices


def test_leaves_signals_and_log_set_up_to_the_process(services: ApiServices) -> None:
    before = signal.getsignal(signal.SIGTERM), logging.getLogger("uvicorn").handlers[:]
    with ApiServer(services).capture_signals():
        assert (signal.getsignal(signal.SIGTERM), logging.getLogger("uvicorn").handlers) == before


def test_its_lifecycle_is_not_worth_a_log_line(services: ApiServices) -> None:
    ApiServer(services)
    assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.INFO)
