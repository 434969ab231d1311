import pytest

from pipeops.sim.tables import text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (3600, "60m"),
        (4 * 3600 + 120, "4h2m"),
        (9 * 3600, "9h"),
        (3 * 86400 + 3600, "3d1h"),
        (400 * 86400, "400d"),
        (800 * 86400, "2y70d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_durations_are_short(seconds: float, expected: str) -> None:
    assert text.human_duration(seconds) == expected


def test_lists_and_ports_are_short() -> None:
    assert text.at_most_three(["a", "b", "c", "d"], "none") == "a,b,c + 1 more..."
    assert text.at_most_three([], "none") == "none"
    ports = [{"port": 80, "protocol": "TCP"}, {"port": 53, "nodePort": 30053, "protocol": "UDP"}]
    assert text.service_ports(ports) == "80/TCP,53:30053/UDP"
    assert text.service_ports([]) == "<none>"


def test_labels_containers_modes_and_ages() -> None:
    assert text.labels({"b": "2", "a": "1"}) == "a=1,b=2"
    assert text.labels(None) == "<none>"
    template = {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}}
    assert text.containers(template) == ["a,b", "x,y"]
    assert text.access_modes(["ReadWriteMany", "ReadWriteOnce"]) == "RWO,RWX"
    assert text.since(None, 0) == "<unknown>"
    created = {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}
    assert text.age(created, 1_767_225_605) == "5s"
