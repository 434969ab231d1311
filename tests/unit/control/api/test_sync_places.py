"""Places for large bodies."""

import pytest

from pipeops.control.api.sync_places import NoPlace, SyncPlaces


def test_one_for_each_cluster_and_not_too_many():
    places = SyncPlaces(most=2)
    with places.place("one"):
        with pytest.raises(NoPlace), places.place("one"):
            pass
        with places.place("two"), pytest.raises(NoPlace), places.place("three"):
            pass
        with places.place("three"):
            pass
    with pytest.raises(KeyError), places.place("one"):
        raise KeyError
    with places.place("one"):
        pass
