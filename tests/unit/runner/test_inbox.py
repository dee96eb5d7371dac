"""The inbox: everything at once, in order, from any thread."""

from threading import Thread

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
