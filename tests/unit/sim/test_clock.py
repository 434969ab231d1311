from pipeops.sim.clock import SystemClock


def test_time_does_not_stand_before_the_code_was_written() -> None:
    assert SystemClock().now() > 1_700_000_000
