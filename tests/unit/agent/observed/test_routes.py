"""What is known of the published routes."""

from pipeops.agent.observed.routes import STATES, RoutesObserved


def test_nothing_is_published_until_somebody_says_so_and_again_when_he_stops() -> None:
    observed = RoutesObserved()
    assert dict(observed.counts()) == dict.fromkeys(STATES, 0)
    observed.active, observed.private, observed.reason = True, False, "x"
    observed.counts = lambda: {"registered": 3, "refused": 0, "pending": 1}
    observed.rows = lambda: [{"host": "a.test"}]
    observed.calls = 7
    assert observed.registered == 3
    observed.idle()
    assert (observed.active, observed.private, observed.reason) == (False, None, "")
    assert (observed.registered, observed.rows(), observed.calls) == (0, (), 7)
