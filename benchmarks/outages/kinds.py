"""The outages: what each needs of the scene, and what it does to it."""

import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import sleep, time

from benchmarks.outages.check import Blow
from benchmarks.outages.scene import (
    CORES,
    LONG,
    ROOT,
    Cluster,
    Scene,
    Size,
    Stage,
    call,
    slurm,
    wait_for,
)

SUPERVISOR = "euclid_dask.pilots.supervisor"
WORKER = "euclid_dask.executors.dask.supervised"
HOSTS = ROOT / "tests" / "tools" / "hosts.sh"
DISK_BYTES = 32 << 20
NOTICES_SOON = {"TIMEOUT_NODE": "5"}

Setting = Callable[[Path, Size], AbstractContextManager[Stage]]
Pilots = frozenset[str]
NOBODY: Pilots = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A way to disturb a run.

    `disturb` returns the pilots that it happens to: what runs there meanwhile may be lost, for
    `reasons`, also if it comes to its end where it `may_end`. When it has been started elsewhere,
    it may write for `overlap_s` after all is well again, and not before. What `lasts` may happen
    to all pilots at any time. The run takes so many `runners`; `says` are patterns of what they
    tell if it takes at least `says_after_s`, and `seen` is that for people.
    """

    name: str
    title: str
    disturb: Callable[[Scene], Pilots]
    seen: str
    says: tuple[str, ...] = ()
    says_after_s: float = 0.0
    reasons: str = ""
    may_end: bool = False
    overlap_s: float = 0.0
    lasts: bool = False
    runners: int = 1
    setting: Setting = lambda _folder, _size: nullcontext(Stage())

    def happen(self, scene: Scene) -> Blow:
        """Have it happen, and the run end; return what it explains."""
        since_s = scene.struck_s = time()
        pilots = self.disturb(scene)
        until_s = time()
        scene.wait()
        if self.lasts:
            pilots, since_s, until_s = scene.joined(), 0.0, inf
        return Blow(
            pilots=pilots,
            since_s=since_s,
            struck_s=scene.struck_s,
            until_s=until_s,
            reasons=self.reasons,
            most=CORES * len(pilots),
            may_end=self.may_end,
            overlap_s=self.overlap_s,
        )

    def unsaid(self, said: Sequence[str], size: Size) -> list[str]:
        """Return what the user should have been told, and was not."""
        if size.outage_s < self.says_after_s:
            return []
        return [one for one in self.says if not any(re.search(one, line) for line in said)]


def _nothing(_scene: Scene) -> Pilots:
    """Disturb nothing."""
    return NOBODY


def _scancel(scene: Scene) -> Pilots:
    pilot = scene.busy_pilot()
    scene.cluster.run("scancel", scene.job_of(pilot))
    scene.struck_s = time()
    return frozenset({pilot})


def _crash(scene: Scene) -> Pilots:
    node = scene.node_of(scene.busy_pilot())
    pilots = scene.pilots_on(node)
    scene.cluster.act("kill-node", node)
    scene.struck_s = time()
    return pilots


def _hang(scene: Scene) -> Pilots:
    node = scene.node_of(scene.busy_pilot())
    pilots = scene.pilots_on(node)
    scene.cluster.act("freeze-node", node)
    try:
        sleep(scene.size.outage_s)
    finally:
        scene.cluster.act("thaw-node", node)
    return pilots


def _until_replaced(act: str, undo: str) -> Callable[[Scene], Pilots]:
    """Do something to a node until what ran there has begun elsewhere; then undo it."""

    def disturb(scene: Scene) -> Pilots:
        node = scene.node_of(scene.pilot_of(LONG, 1))
        pilots = scene.pilots_on(node)
        scene.cluster.act(act, node)
        scene.struck_s = time()
        try:
            wait_for(lambda: any(m.attempt == (LONG, 2) for m in scene.marks()), scene.runner)
        finally:
            scene.cluster.act(undo, node)
        return pilots

    return disturb


def _kill_worker(scene: Scene) -> Pilots:
    os.kill(scene.process_of(scene.busy_pilot(), WORKER), signal.SIGKILL)
    return NOBODY


def _kill_supervisor(scene: Scene) -> Pilots:
    pilot = scene.busy_pilot()
    os.kill(scene.process_of(pilot, SUPERVISOR), signal.SIGKILL)
    scene.struck_s = time()
    return frozenset({pilot})


def _kill_runner(scene: Scene) -> Pilots:
    scene.kill_runner()
    sleep(scene.size.outage_s / 10)
    scene.resume()
    return NOBODY


def _stop_controller(scene: Scene) -> Pilots:
    scene.cluster.act("stop-controller")
    sleep(scene.size.outage_s)
    scene.cluster.act("start-controller")
    return NOBODY


def _cut(scene: Scene) -> Pilots:
    hosts = scene.stage.runner_host[0]
    call(hosts, "cut", "h1")
    sleep(scene.size.outage_s)
    call(hosts, "heal", "h1")
    return NOBODY


def _fill(scene: Scene) -> Pilots:
    filler = scene.workspace / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    sleep(scene.size.outage_s)
    filler.unlink()
    return scene.joined()


def _lease(_folder: Path, size: Size) -> AbstractContextManager[Stage]:
    lease = f'lease = "{size.outage_s:g}s"'
    return nullcontext(Stage(pilots=lease, settings=NOTICES_SOON))


def _short_lease(_folder: Path, _size: Size) -> AbstractContextManager[Stage]:
    return nullcontext(Stage(pilots='lease = "2s"', settings=NOTICES_SOON, long_s=60.0))


def _short_walltime(_folder: Path, size: Size) -> AbstractContextManager[Stage]:
    walltime_s = max(size.outage_s, 6 * size.seconds[1])
    return nullcontext(Stage(walltime=f"{walltime_s:g}s"))


@contextmanager
def _two_hosts(_folder: Path, _size: Size) -> Iterator[Stage]:
    """Have the runner on a host of its own, Slurm and its nodes on another."""
    prefix = f"ed{os.getpid()}"
    os.environ["NETNS_PREFIX"] = prefix
    call(HOSTS, "up", "2")

    def cluster(at: str) -> Cluster:
        plain = slurm(at)
        settings = {**plain.settings, "ADDR": "10.99.0.2"}
        return Cluster(plain.script, settings, plain.environment, (str(HOSTS), "exec", "h2"))

    try:
        yield Stage(interface="eth0", cluster=cluster, runner_host=(str(HOSTS), "exec", "h1"))
    finally:
        call(HOSTS, "down")


@contextmanager
def _small_disk(folder: Path, _size: Size) -> Iterator[Stage]:
    """Have a workspace on a small disk of its own."""
    disk = folder / "disk"
    disk.mkdir()
    call("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", disk)
    try:
        yield Stage(workspace=disk / "ws")
    finally:
        call("umount", "--lazy", disk)


NONE = Outage(name="none", title="nothing", disturb=_nothing, seen="")
GIVEN_UP = "^the batch system has given its job up|: the runner has given the pilot up$"
OUTAGES = {
    outage.name: outage
    for outage in (
        Outage(
            name="scancel",
            title="a pilot is cancelled (`scancel`)",
            disturb=_scancel,
            reasons=": the pilot was told to end$",
            seen="`3 up, 1 starting`: another pilot takes its place",
        ),
        Outage(
            name="node-crash",
            title="a node crashes: `slurmd` and all processes killed",
            disturb=_crash,
            reasons=GIVEN_UP,
            says=(r"pilots: .*\d (away|draining)",),
            seen="`2 away`, then `2 draining` as Slurm has given their jobs up, then others",
            setting=_lease,
        ),
        Outage(
            name="node-hang",
            title="a node hangs: all processes stopped, then continued",
            may_end=True,
            disturb=_hang,
            reasons=GIVEN_UP,
            setting=lambda _folder, _size: nullcontext(Stage(settings=NOTICES_SOON)),
            seen="`2 draining` as Slurm has given their jobs up; they leave when the node is back",
        ),
        Outage(
            name="node-hang-long",
            title="a node hangs until its tasks have begun elsewhere, then goes on",
            may_end=True,
            disturb=_until_replaced("freeze-node", "thaw-node"),
            reasons=GIVEN_UP,
            overlap_s=5.0,
            setting=_short_lease,
            seen="the same; the old attempts are killed before they come to their ends",
        ),
        Outage(
            name="node-deaf",
            title="`slurmd` of a node cannot be reached, its pilots and tasks live",
            disturb=_until_replaced("hang-node", "cont-node"),
            reasons=GIVEN_UP,
            setting=_short_lease,
            seen="`2 draining`, as Slurm has given their jobs up; they leave at once",
        ),
        Outage(
            name="worker",
            title="a Dask worker is killed (`kill -9`)",
            disturb=_kill_worker,
            seen="`1 away` for a moment",
        ),
        Outage(
            name="supervisor",
            title="a supervisor is killed (`kill -9`)",
            disturb=_kill_supervisor,
            reasons="^its job ended",
            seen="as if the pilot had been cancelled",
        ),
        Outage(
            name="runner",
            title="runner and scheduler are killed (`kill -9`); a `resume` {tenth_s:g} s later",
            disturb=_kill_runner,
            runners=2,
            seen="`euclid-dask resume` takes the tasks over while they run",
        ),
        Outage(
            name="controller",
            title="`slurmctld` is down",
            disturb=_stop_controller,
            says=("jobs go on meanwhile",),
            says_after_s=45.0,
            seen="a warning that Slurm cannot be asked; tasks go on and new ones start",
        ),
        Outage(
            name="walltime",
            title="pilots reach their walltime",
            may_end=True,
            disturb=_nothing,
            lasts=True,
            reasons="walltime",
            seen="others are requested; a pilot gets nothing that would not end there",
            setting=_short_walltime,
        ),
        Outage(
            name="network",
            title="the network between runner and pilots is cut, then heals",
            disturb=_cut,
            says=(r"pilots: .*\d away",),
            says_after_s=45.0,
            seen="`4 away`; tasks go on, and new ones start when it heals",
            setting=_two_hosts,
        ),
        Outage(
            name="disk",
            title="the disk of the workspace is full, then freed",
            may_end=True,
            disturb=_fill,
            reasons="a disk is full|disk quota|No space left",
            says=("^the disk of the workdir is full", "^there is space again: the run goes on"),
            seen="a warning, and another one when there is space again; the run goes on by itself",
            setting=_small_disk,
        ),
    )
}
