"""Token sources hand out what the tables say."""

from pipeops.control.auth.sources import ClusterTokenSource, UserTokenSource
from pipeops.control.auth.tokens import TokenKind
from pipeops.control.store.records import Role


async def test_absent_allow_list_stays_absent_and_an_empty_one_stays_empty(store):
    source = UserTokenSource(store.user_tokens)
    for number, clusters in enumerate((None, [])):
        await store.user_tokens.add(
            label="l", token_hash=bytes([number]) * 32, prefix="p", user="ada", groups=[],
            role=Role.USER, clusters=clusters,
        )  # fmt: skip
    found = [await source.find(bytes([number]) * 32) for number in (0, 1)]
    assert [each.grant.clusters for each in found] == [None, frozenset()]
    assert source.kind is TokenKind.USER


async def test_unknown_digests_are_none(store):
    assert await UserTokenSource(store.user_tokens).find(b"x" * 32) is None
    assert await ClusterTokenSource(store.cluster_tokens).find(b"x" * 32) is None
