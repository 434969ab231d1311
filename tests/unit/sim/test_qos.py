import pytest

from pipeops.sim.qos import quality_of_service

FULL = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": FULL}, "Guaranteed"),
        ({"limits": FULL, "requests": FULL}, "Guaranteed"),
        ({"limits": FULL, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
def test_the_class_follows_requests_and_limits(resources: dict, expected: str) -> None:
    assert quality_of_service({"containers": [{"resources": resources}]}) == expected
