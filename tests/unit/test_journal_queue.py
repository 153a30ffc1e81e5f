from __future__ import annotations

import time

from gateway.core.facts import FactKind
from gateway.guard.journal_entry import DropLatch, Entry
from gateway.guard.journal_queue import MOST_IN_BATCH, Queue
from gateway.link.records import LatchRecord, RequestRecord
from tests.support.journal import draft, entry


def _latch(outlet: str, since_utc_ms: int = 1) -> LatchRecord:
    return LatchRecord(
        outlet=outlet,
        reason="overpower",
        rule="overpower",
        release="operator",
        since_utc_ms=since_utc_ms,
    )


def _take(queue: Queue) -> list[Entry]:
    return [waiting.entry for waiting in queue.take(0, 0)]


def test_entries_come_out_in_the_order_in_which_they_went_in() -> None:
    queue = Queue(10, 10)
    first, second, third = entry(n=1), entry(n=2), entry(n=3)
    queue.put(first)
    queue.put_urgent(second)
    queue.put(third)
    assert _take(queue) == [first, second, third]
    assert _take(queue) == []


def test_a_full_queue_refuses_leases_and_still_takes_cut_offs() -> None:
    queue = Queue(2, 2)
    assert queue.put(entry()) is not None
    assert queue.put(entry()) is not None
    assert queue.put(entry()) is None
    urgent = entry(urgent=True)
    queue.put_urgent(urgent)
    assert _take(queue)[-1] == urgent
    assert queue.put(entry()) is not None


def test_a_batch_is_bounded() -> None:
    queue = Queue(MOST_IN_BATCH + 10, 0)
    for _ in range(MOST_IN_BATCH + 10):
        queue.put(entry())
    assert len(_take(queue)) == MOST_IN_BATCH
    assert len(_take(queue)) == 10


def test_past_the_reserve_state_is_kept_and_other_facts_are_counted() -> None:
    queue = Queue(1, 1)
    queue.put(entry())
    queue.put_urgent(entry())
    answer = RequestRecord(request_id="r", answer={}, utc_ms=1)
    cut = draft("n1-1", FactKind.OUTLET_CUT)
    ended = draft("n1-1", FactKind.LEASE_ENDED)
    alarm = draft("n1-2", FactKind.OUTLET_ALARM)
    ticket = queue.put_urgent(Entry((ended, cut), (_latch("n1-1"), answer)))
    assert queue.put_urgent(Entry((alarm,), (_latch("n1-2"),))) is ticket
    assert queue.put(entry()) is None, "what comes later must not overtake what is kept"
    assert queue.dropped_facts == 1

    batch = queue.take(0, 0)
    assert len(batch) == 3
    assert batch[-1].ticket is ticket
    assert batch[-1].entry == Entry((ended, cut), (_latch("n1-1"), _latch("n1-2")))
    assert queue.put(entry()) is not None


def test_what_opened_a_feed_is_kept_past_the_reserve() -> None:
    queue = Queue(1, 1)
    queue.put_urgent(entry())
    queue.put_urgent(entry())
    tripped = draft("smoke", FactKind.INTERLOCK_TRIPPED)
    opened = draft("main", FactKind.CONTACTOR_OPENED)
    queue.put_urgent(Entry((tripped, opened, draft("smoke", FactKind.INTERLOCK_CLEARED))))
    assert queue.take(0, 0)[-1].entry.facts == (tripped, opened)
    assert queue.dropped_facts == 1


def test_of_each_outlet_only_the_newest_state_is_kept() -> None:
    queue = Queue(0, 0)
    queue.put_urgent(Entry((), (_latch("n1-1"), _latch("n1-2", 1))))
    queue.put_urgent(Entry((), (DropLatch("n1-1"), _latch("n1-2", 2))))
    assert _take(queue) == [Entry((), (DropLatch("n1-1"), _latch("n1-2", 2)))]


def test_facts_alone_past_the_reserve_are_counted_and_let_nothing_overtake() -> None:
    queue = Queue(0, 0)
    queue.put_urgent(Entry((draft("n1-1", FactKind.LEASE_ENDED),)))
    queue.put_urgent(Entry((draft("n1-1", FactKind.OUTLET_ALARM),)))
    assert queue.dropped_facts == 1
    assert [fact.kind for fact in _take(queue)[0].facts] == [FactKind.LEASE_ENDED]


def test_what_is_urgent_is_not_gathered() -> None:
    queue = Queue(10, 10)
    queue.put_urgent(entry())
    started_s = time.monotonic()
    assert len(queue.take(0, started_s + 60)) == 1, "would wait a minute for more"


def test_a_closed_queue_gathers_no_more() -> None:
    queue = Queue(10, 10)
    queue.put(entry())
    queue.close(time.monotonic() + 60)
    assert len(queue.take(60, time.monotonic() + 60)) == 1
    assert queue.empty
    assert queue.take(60, 0) == []


def test_what_is_left_can_be_given_up_as_a_whole() -> None:
    queue = Queue(1, 0)
    queue.put(entry())
    kept = queue.put_urgent(Entry((), (_latch("n1-1"),)))
    queue.close(time.monotonic() - 1)
    assert queue.given_up()
    left = queue.drain()
    assert len(left) == 2
    assert left[-1].ticket is kept
