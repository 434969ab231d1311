"""Figures of this very process."""

import gc

from tests.unit.agent.local_api.bench import World


async def test_the_figures_are_this_process() -> None:
    world = World()
    with world.observed.process.watching():
        before = world.observed.process.figures()
        gc.collect()
        world.now += 2
        after = world.observed.process.figures()
    assert before.resident > 1 << 20
    assert before.peak >= before.resident // 2
    assert before.virtual > before.resident
    assert before.tasks >= 1
    assert before.threads >= 1
    assert 0 < before.descriptors < before.descriptor_limit
    assert after.collections > before.collections
    assert after.pause > before.pause
    assert after.cpu_seconds >= before.cpu_seconds
    assert world.observed.process.last_collection is not None
    assert world.observed.process.uptime == 2
    assert not [each for each in gc.callbacks if "process" in repr(each).lower()]


async def test_the_processors_share_is_measured_over_a_second_at_least() -> None:
    world = World()
    process = world.observed.process
    assert process.figures().cpu_percent == 0
    world.now += 0.5
    assert process.figures().cpu_percent == 0
    sum(n * n for n in range(200_000))
    world.now += 1.0
    assert process.figures().cpu_percent > 0
