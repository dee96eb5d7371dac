"""One thread that looks at the processes of all running attempts, and at their RAM.

It starts with the first attempt that runs for a moment, and ends when none is left. Samples are
thinned, so that a receipt stays small.
"""

from collections.abc import Callable, Sequence
from threading import Condition, Thread
from time import monotonic
from typing import Final, NamedTuple

from euclid_dask.core.attempts import Sample
from euclid_dask.worker import procfs
from euclid_dask.worker.trees import Tree, living

MOST_SAMPLES: Final = 120
"""When an attempt has more, every second one is dropped and the interval doubles."""

_LINGER_S = 1.0


class Excess(NamedTuple):
    """More RAM in use than allowed: by how many processes, the largest, and the samples before."""

    used_bytes: int
    processes: int
    largest: str
    largest_bytes: int
    samples: tuple[Sample, ...]


class Watch:
    """What is known of the processes of one attempt.

    `on_excess` is called, once, when more than `ram_limit_bytes` are in use; None means that
    there is no limit.
    """

    def __init__(
        self,
        tree: Tree,
        *,
        interval_s: float,
        ram_limit_bytes: int | None,
        on_excess: Callable[[Excess], None],
    ) -> None:
        self.tree = tree
        self.samples: list[Sample] = []
        self.peak_rss_bytes = 0
        self._began_s = monotonic()
        self._interval_s = max(interval_s, 0.01)
        self._keep_s = self._interval_s
        self._kept_s = 0.0
        self._limit = ram_limit_bytes
        self._on_excess = on_excess
        self.due_s = self._began_s + self._interval_s

    def peek(self) -> None:
        """Look at the peaks alone: cheap, for attempts that end before a first sample."""
        for pid in procfs.family(self.tree.leader):
            self.peak_rss_bytes = max(self.peak_rss_bytes, procfs.peak_rss_bytes(pid))

    def look(self, processes: Sequence[procfs.Process], now_s: float) -> None:
        """Take a sample of these processes, and check their RAM."""
        self.due_s = now_s + self._interval_s
        if not processes:
            return
        rss = sum(process.rss_bytes for process in processes)
        self._check_ram(processes, rss)
        peaks = (procfs.peak_rss_bytes(process.pid) for process in processes)
        self.peak_rss_bytes = max(self.peak_rss_bytes, rss, *peaks)
        since_s = now_s - self._began_s
        if since_s - self._kept_s >= 0.5 * self._keep_s:
            self._kept_s = since_s
            self._keep(processes, rss, since_s)

    def _check_ram(self, processes: Sequence[procfs.Process], rss: int) -> None:
        if self._limit is None or rss <= self._limit:
            return
        used = sum(procfs.shared_ram_bytes(process) for process in processes)
        if used > self._limit:
            self._limit = None
            largest = max(processes, key=lambda process: process.rss_bytes)
            command = procfs.command_line(largest.pid)
            samples = tuple(self.samples)
            self._on_excess(Excess(used, len(processes), command, largest.rss_bytes, samples))

    def _keep(self, processes: Sequence[procfs.Process], rss: int, since_s: float) -> None:
        before = (
            self.samples[-1]
            if self.samples
            else Sample(t_s=0.0, cpu_s=0.0, rss_bytes=0, read_bytes=0, written_bytes=0)
        )
        pairs = [procfs.io_bytes(process) for process in processes]
        self.samples.append(
            Sample(
                t_s=round(since_s, 3),
                cpu_s=round(max(before.cpu_s, sum(one.cpu_s for one in processes)), 3),
                rss_bytes=rss,
                read_bytes=max(before.read_bytes, sum(read for read, _ in pairs)),
                written_bytes=max(before.written_bytes, sum(written for _, written in pairs)),
            )
        )
        if len(self.samples) > MOST_SAMPLES:
            del self.samples[::2]
            self._keep_s *= 2


class Sampler:
    """The thread, and the attempts it looks at."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._watches: set[Watch] = set()
        self._thread: Thread | None = None
        self._wakes_s = 0.0

    def add(self, watch: Watch) -> None:
        """Begin to look at an attempt, for the first time after its interval."""
        with self._changed:
            self._watches.add(watch)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="euclid-dask sampler", daemon=True)
                self._wakes_s = watch.due_s
                self._thread.start()
            elif watch.due_s < self._wakes_s:
                self._changed.notify()

    def remove(self, watch: Watch) -> None:
        """Look no more at an attempt; its samples are complete when this returns."""
        with self._changed:
            self._watches.discard(watch)

    def _run(self) -> None:
        idle_since_s = monotonic()
        while True:
            with self._changed:
                now_s = monotonic()
                if self._watches:
                    idle_since_s = now_s
                elif now_s - idle_since_s >= _LINGER_S:
                    self._thread = None
                    return
                due = [watch.due_s for watch in self._watches] or [idle_since_s + _LINGER_S]
                self._wakes_s = min(due)
                if self._wakes_s > now_s:
                    self._changed.wait(self._wakes_s - now_s)
                    continue
                ready = [watch for watch in self._watches if watch.due_s <= now_s]
            self._look(ready)

    def _look(self, ready: Sequence[Watch]) -> None:
        processes = living([watch.tree for watch in ready])
        with self._changed:
            for watch in ready:
                if watch in self._watches:
                    watch.look(processes[watch.tree], monotonic())
