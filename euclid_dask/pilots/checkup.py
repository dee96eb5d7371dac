"""Whether a site does what pilots need: each thing is tried, and told with what to do about it.

The cheap things are tried here; the rest by a job, which must find its way back.
"""

import fcntl
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from threading import Event, Thread
from time import monotonic
from typing import Final

import psutil

from euclid_dask.core.errors import BatchError, EuclidDaskError
from euclid_dask.core.ids import PilotId
from euclid_dask.core.pilots import Job, JobState
from euclid_dask.core.seams import BatchSystem
from euclid_dask.core.values import Value, json_reader
from euclid_dask.pilots.batch.systems import LOCAL
from euclid_dask.pilots.launch import batch_of, pilot_script, script_of
from euclid_dask.pilots.lease import Leases
from euclid_dask.pilots.names import check_name
from euclid_dask.pilots.probe import ANSWER, PROBE, QUESTION, Answer
from euclid_dask.pilots.site import DEFAULT_ENVIRONMENT, Site
from euclid_dask.worker.clock import now_s

PROBE_PROGRAM: Final = "euclid_dask.pilots.probe"
MOST_SKEW_S: Final = 5.0
_LOOK_S: Final = 0.1
_SETTLE_S: Final = 10.0
_read_answer = json_reader(Answer)


class Check(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One thing that was tried: what was found, and what to do if it is not `ok`."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def scripts(site: Site) -> dict[str, str]:
    """Return the job script of each template, for an imagined workdir and pilot.

    Raises:
        SiteError: A template cannot be put in the words of the batch system.
    """
    workdir = Path(site.workspace) / "WORKDIR"
    source = site.environments.get(DEFAULT_ENVIRONMENT, "")
    return {
        name: pilot_script(site, PilotId(f"{name}-000000"), name, workdir=workdir, source=source)
        for name in site.templates
    }


def checkup(site: Site, *, job: bool, patience_s: float) -> Iterator[Check]:
    """Try everything, one after the other; without `job` only what needs no job."""
    yield from _templates(site)
    with _folder(site) as folder:
        if isinstance(folder, Check):
            yield folder
            return
        yield Check(name="workspace", ok=True, found=f"{site.workspace} can be written here")
        name = check_name(site)
        batch = batch_of(site, prefix=name, folder=folder / "jobs")
        answered = _batch_answers(site, batch)
        yield answered
        with _listening(site) as listener:
            if isinstance(listener, Check):
                yield listener
                return
            yield Check(name="address", ok=True, found=f"pilots are told {listener.address}")
            if job and answered.ok:
                with _asked(folder) as question:
                    probe = _Probe(site, batch, folder, listener, question)
                    yield from probe.checks(name, patience_s)


def _templates(site: Site) -> Iterator[Check]:
    try:
        names = ", ".join(scripts(site))
    except EuclidDaskError as error:
        yield Check(name="templates", ok=False, found=error.message, fix=error.hint)
    else:
        yield Check(name="templates", ok=True, found=f"job scripts can be written for {names}")


@contextmanager
def _folder(site: Site) -> Iterator[Path | Check]:
    try:
        folder = Path(mkdtemp(prefix=".euclid-dask-check-", dir=site.workspace))
    except OSError as error:
        yield Check(
            name="workspace",
            ok=False,
            found=f"{site.workspace} cannot be written here: {error.strerror}",
            fix="make the folder, or name another one as `workspace`",
        )
        return
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _batch_answers(site: Site, batch: BatchSystem) -> Check:
    try:
        batch.jobs()
    except BatchError as error:
        fix = error.hint or "see whether its commands work in this shell, and `batch`"
        return Check(name="batch", ok=False, found=error.message, fix=fix)
    return Check(name="batch", ok=True, found=f"{site.batch} lists its jobs")


# ---- the way back


@dataclass
class _Listener:
    """A socket that notes who says which question, and how far their clock is from ours."""

    server: socket.socket
    address: str
    skews_s: dict[str, float] = field(default_factory=dict)

    def listen(self) -> None:
        with suppress(OSError):
            while True:
                link, _ = self.server.accept()
                with link, suppress(OSError, ValueError):
                    link.settimeout(_SETTLE_S)
                    question, _, then_s = link.recv(200).decode().partition(" ")
                    self.skews_s[question] = float(then_s) - now_s()


@contextmanager
def _listening(site: Site) -> Iterator[_Listener | Check]:
    try:
        host = _own_address(site)
        server = socket.create_server((host, site.network.port))
    except OSError as error:
        where = f"{site.network.interface or 'any interface'}, port {site.network.port or 'any'}"
        yield Check(
            name="address",
            ok=False,
            found=f"cannot listen on {where}: {error.strerror or error}",
            fix="set `network.interface` (see `ip address`), and a `network.port` that is free",
        )
        return
    listener = _Listener(server, f"{host}:{server.getsockname()[1]}")
    thread = Thread(target=listener.listen, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def _own_address(site: Site) -> str:
    """Return the address that pilots are told."""
    if not site.network.interface:
        if site.batch == LOCAL:
            return "127.0.0.1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: this asks for the usual way out
            return str(probe.getsockname()[0])
    for address in psutil.net_if_addrs().get(site.network.interface, ()):
        if address.family == socket.AF_INET:
            return address.address
    raise OSError(f"there is no network interface {site.network.interface}")


# ---- the job


@contextmanager
def _asked(folder: Path) -> Iterator[str]:
    """Put a question into the folder, and hold a lock on it."""
    question = secrets.token_hex(8)
    with (folder / QUESTION).open("w") as file:
        file.write(question)
        file.flush()
        os.fsync(file.fileno())
        with suppress(OSError):  # that locks do not work here, the job will find out, too
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield question


class _Probe:
    """A job that looks around and answers."""

    def __init__(
        self, site: Site, batch: BatchSystem, folder: Path, listener: _Listener, question: str
    ) -> None:
        self._site, self._batch, self._folder, self._listener = site, batch, folder, listener
        self._question = question
        self._leases = Leases(records=folder, lasts_s=site.pilots.lease_s)

    def checks(self, name: str, patience_s: float) -> Iterator[Check]:
        """Submit the job under this name, wait for its answer, and tell what it says."""
        self._leases.offer(PROBE)
        try:
            job = self._batch.submit(self._script(), name)
        except EuclidDaskError as error:
            fix = error.hint or "see the template in the script below"
            yield Check(name="submit", ok=False, found=error.message, fix=fix)
            return
        try:
            yield Check(name="submit", ok=True, found=f"job {job} was taken")
            seen = self._wait(name, patience_s)
            answer = self._answer()
            if answer is None:
                yield self._unanswered(name, seen, patience_s)
            else:
                yield from self._told(answer)
        finally:
            with suppress(BatchError):
                self._batch.cancel([job])

    def _script(self) -> str:
        template = next(
            (one for one in self._site.templates.values() if one.max_running),
            next(iter(self._site.templates.values())),
        )
        words = ["-m", PROBE_PROGRAM, "--folder", str(self._folder)]
        words += ["--address", self._listener.address]
        source = self._site.environments.get(DEFAULT_ENVIRONMENT, "")
        for name, text in (("scratch", self._site.pilots.scratch), ("source", source)):
            words += [f"--{name}", text] if text else []
        return script_of(self._site, template, tuple(words))

    def _wait(self, name: str, patience_s: float) -> Job | None:
        """Wait for the answer; return the job as it was seen last, None if it is not listed."""
        until_s = monotonic() + patience_s
        seen: Job | None = None
        ended_s = look_s = 0.0
        while monotonic() < until_s and not (self._folder / ANSWER).exists():
            if ended_s and monotonic() > ended_s + _SETTLE_S:
                break
            if monotonic() >= look_s:
                look_s = monotonic() + max(1.0, self._site.intervals.poll_s / 10)
                with suppress(BatchError):
                    seen = next((j for j in self._batch.jobs() if j.name == name), None)
                    over = seen is None or seen.state is JobState.ENDED
                    ended_s = (ended_s or monotonic()) if over else 0.0
            os.listdir(self._folder)  # noqa: PTH208  makes NFS look again
            Event().wait(_LOOK_S)
        return seen

    def _answer(self) -> Answer | None:
        """Return what the job says, None if nothing that can be read."""
        with suppress(OSError, ValueError):
            return _read_answer((self._folder / ANSWER).read_bytes())
        return None

    def _told(self, answer: Answer) -> Iterator[Check]:
        host = answer.host
        yield Check(name="job", ok=True, found=f"it ran on {host}")
        yield self._files(answer)
        yield self._locks(answer)
        yield self._lease(answer)
        yield self._network(answer)
        if self._question in self._listener.skews_s:
            yield self._clock(host)
        for trouble in answer.unfit:
            fix = "mend it there, or see `pilots.scratch` and `environments`"
            yield Check(name="host", ok=False, found=f"{host}: {trouble}", fix=fix)

    def _unanswered(self, name: str, job: Job | None, patience_s: float) -> Check:
        if job is not None and job.state in {JobState.QUEUED, JobState.HELD}:
            reason = f" ({job.reason})" if job.reason else ""
            return Check(
                name="job",
                ok=False,
                found=f"it still waits after {patience_s:g} s{reason}",
                fix="wait longer with --wait, or see `queue` and the sizes of the template",
            )
        said = self._batch.last_words(name).rpartition("\n")[2]
        return Check(
            name="job",
            ok=False,
            found="no answer was seen in the workspace" + (f"; it said: {said}" if said else ""),
            fix="nodes must see the workspace, and have the Python of `pilots.python`, with "
            "euclid_dask; see the script below",
        )

    def _files(self, answer: Answer) -> Check:
        seen = answer.seen == self._question
        return Check(
            name="files",
            ok=seen and not answer.exclusive,
            found="both sides see what the other writes and renames; O_EXCL holds"
            if seen and not answer.exclusive
            else answer.exclusive or "the job did not see a file that was written here",
            fix="`workspace` must be the same folder here and on the nodes, on a file system with "
            "O_EXCL and without a long delay (NFS: actimeo)",
        )

    def _locks(self, answer: Answer) -> Check:
        return Check(
            name="locks",
            ok=not answer.locked,
            found=answer.locked or "what is locked here is locked on the nodes (flock)",
            fix="runners on two hosts could work in one workdir at once: mount it with locks for "
            "all hosts (Lustre: flock, NFS: local_lock=none), or always use the same host",
        )

    def _lease(self, answer: Answer) -> Check:
        """Tell whether what a node does to a lease is seen here before it would be over."""
        lasts_s = self._leases.lasts_s or _SETTLE_S
        until_s = monotonic() + lasts_s
        found = answer.leased
        try:
            while not (found or self._leases.look(PROBE).is_returned):
                if monotonic() >= until_s:
                    found = f"that the job has given it back is not seen here within {lasts_s:g} s"
                Event().wait(_LOOK_S)
        except OSError as error:
            found = error.strerror or str(error)
        return Check(
            name="lease",
            ok=not found,
            found=found or "what is made here is taken up on the nodes, and seen to be given back",
            fix="runners see by the times of files whether pilots live: mount the workspace with a "
            "shorter delay (NFS: actimeo), or set `pilots.lease` longer than it",
        )

    def _network(self, answer: Answer) -> Check:
        way = f"{answer.host} to {self._listener.address}"
        reached = not answer.reached and self._question in self._listener.skews_s
        return Check(
            name="network",
            ok=reached,
            found=way if reached else f"{way}: {answer.reached or 'nothing arrived'}",
            fix="set `network.interface` to one that nodes reach, and open `network.port` in the "
            "firewall",
        )

    def _clock(self, host: str) -> Check:
        skew_s = self._listener.skews_s[self._question]
        is_small = abs(skew_s) < MOST_SKEW_S
        how = "agree" if is_small else f"differ by {abs(skew_s):.1f} s"
        return Check(
            name="clocks",
            ok=is_small,
            found=f"those of this host and {host} {how}",
            fix="pilots would end too early or too late: see whether both run NTP",
        )
