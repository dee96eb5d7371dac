"""The inbox: everything at once, in order, from any thread."""

from threading import Thread

import pytest

from euclid_dask.runner.inbox import CancelNews, QueueInbox


def test_all_that_is_there_is_taken_in_order() -> None:
    inbox = QueueInbox()
    news = [CancelNews(reason=str(number)) for number in range(3)]
    for item in news:
        inbox.put(item)
    assert inbox.take(0.0) == news
    assert inbox.take(0.0) == []


def test_the_reader_waits_for_the_first_news() -> None:
    inbox = QueueInbox()
    writer = Thread(target=lambda: inbox.put(CancelNews(reason="x")))
    writer.start()
    assert inbox.take(60.0) == [CancelNews(reason="x")]
    writer.join()


def test_news_soon_after_others_wait_for_more_and_news_after_a_pause_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inbox = QueueInbox()
    slept_s: list[float] = []
    times_s = iter([100.0, 100.0, 100.25, 101.0, 200.0, 200.0])

    def sleep(seconds: float) -> None:
        slept_s.append(seconds)
        inbox.put(CancelNews(reason="came meanwhile"))

    monkeypatch.setattr("euclid_dask.runner.inbox.sleep", sleep)
    monkeypatch.setattr("euclid_dask.runner.inbox.monotonic", lambda: next(times_s))
    first, more = CancelNews(reason="first"), CancelNews(reason="came meanwhile")
    for expected in ([first], [first, more], [first]):
        inbox.put(first)
        assert inbox.take(10.0, 1.0) == expected
    assert slept_s == [0.75]
    assert inbox.take(0.0, 1.0) == []
