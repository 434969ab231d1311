"""Feeds keep a bounded past, and no subscriber can make them keep more."""

import pytest

from pipeops.runtime.feed import Feed, Subscription, TooManySubscribersError


def test_the_last_items_are_kept_by_number_and_by_bytes() -> None:
    feed: Feed[bytes] = Feed(keep=3, keep_bytes=10, size=len)
    for item in (b"1", b"22", b"333", b"4444"):
        feed.publish(item)
    assert feed.recent() == [b"22", b"333", b"4444"]
    feed.publish(b"55555")
    assert feed.recent() == [b"4444", b"55555"]
    assert feed.recent(1) == [b"55555"]
    assert feed.recent(0) == []
    assert feed.recent(99) == [b"4444", b"55555"]
    assert feed.published == 5


def test_an_item_larger_than_all_room_is_kept_alone() -> None:
    feed: Feed[bytes] = Feed(keep=3, keep_bytes=10, size=len)
    feed.publish(b"1")
    feed.publish(b"x" * 100)
    assert feed.recent() == [b"x" * 100]


def test_a_subscriber_is_woken_for_each_item_and_takes_them_in_order() -> None:
    feed: Feed[int] = Feed(keep=1)
    woken: list[int] = []
    subscription = feed.subscribe(lambda: woken.append(1))
    feed.publish(1)
    feed.publish(2)
    assert (len(woken), len(subscription)) == (2, 2)
    assert [subscription.take(), subscription.take(), subscription.take()] == [1, 2, None]


def test_who_takes_nothing_is_let_go_and_holds_nothing() -> None:
    feed: Feed[int] = Feed(keep=1)
    other = feed.subscribe(lambda: None, limit=100)
    slow = feed.subscribe(lambda: None, limit=2)
    for item in range(4):
        feed.publish(item)
    assert slow.overflowed
    assert len(slow) == 0
    assert feed.subscribers == 1
    assert len(other) == 4


def test_a_subscriber_may_leave_while_it_is_woken() -> None:
    feed: Feed[int] = Feed(keep=1)
    mine: list[Subscription[int]] = []

    def leave() -> None:
        mine[0].close()

    mine.append(feed.subscribe(leave))
    rest = feed.subscribe(lambda: None)
    feed.publish(1)
    feed.publish(2)
    assert (len(mine[0]), len(rest)) == (1, 2)


def test_the_number_of_subscribers_is_bounded() -> None:
    feed: Feed[int] = Feed(keep=1, max_subscribers=1)
    first = feed.subscribe(lambda: None)
    assert feed.full
    with pytest.raises(TooManySubscribersError):
        feed.subscribe(lambda: None)
    first.close()
    first.close()
    feed.subscribe(lambda: None)
