"""Every failure of a Service has a status, and tells itself apart."""

from pipeops.protocol.exchange.service_failure import STATUS, ServiceFailure


def test_every_failure_has_a_status_code() -> None:
    assert set(STATUS) == set(ServiceFailure)
    assert all(400 <= code < 600 for code in STATUS.values())
