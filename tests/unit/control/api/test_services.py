"""What the API is given."""

from pipeops.control.api.services import ClusterConnection, always_ready


async def test_nothing_keeps_us_from_serving_by_default():
    assert await always_ready() == ()


def test_a_cluster_is_not_connected_unless_somebody_says_so():
    connection = ClusterConnection()
    assert (connection.connected, connection.lanes, connection.since) == (False, 0, None)
