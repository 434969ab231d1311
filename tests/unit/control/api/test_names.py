"""Names."""

import pytest

from pipeops.control.api.names import check_cluster_name, check_identity, did_you_mean


@pytest.mark.parametrize("name", ["a", "a-b", "0", "prod-eu-1", "x" * 63])
def test_dns_labels_are_names(name):
    assert check_cluster_name(name) == name


@pytest.mark.parametrize(
    "name", ["ada@example.org", "system:serviceaccount:a:b", "Ada Lovelace", "ада"]
)
def test_identities_may_be_readable(name):
    assert check_identity(name) == name


def test_length_counts_in_bytes():
    with pytest.raises(ValueError, match="bytes"):
        check_identity("é" * 129)


def test_suggestions_only_when_close():
    assert did_you_mean("prdo", ["prod", "test"]) == "did you mean 'prod'?"
    assert "list" in did_you_mean("zebra", ["prod"])
