"""The outages: what each needs of the scene, and what it does to it."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from benchmarks.outages.scene import ROOT, Cluster, Scene, Size, Stage, call, slurm

SUPERVISOR = "euclid_dask.pilots.supervisor"
WORKER = "euclid_dask.executors.dask.supervised"
HOSTS = ROOT / "tests" / "tools" / "hosts.sh"
DISK_BYTES = 32 << 20
NOTICES_SOON = {"TIMEOUT_NODE": "5"}

Setting = Callable[[Path, Size], AbstractContextManager[Stage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A way to disturb a run. `seen` is what its user sees of it."""

    name: str
    title: str
    disturb: Callable[[Scene], None]
    seen: str
    setting: Setting = lambda _folder, _size: nullcontext(Stage())


def _nothing(scene: Scene) -> None:
    """Disturb nothing."""


def _scancel(scene: Scene) -> None:
    scene.cluster.run("scancel", scene.job_of(scene.busy_pilot()))


def _crash(scene: Scene) -> None:
    scene.cluster.act("kill-node", scene.node_of(scene.busy_pilot()))


def _hang(scene: Scene) -> None:
    node = scene.node_of(scene.busy_pilot())
    scene.cluster.act("freeze-node", node)
    try:
        sleep(scene.size.outage_s)
    finally:
        scene.cluster.act("thaw-node", node)


def _kill_worker(scene: Scene) -> None:
    os.kill(scene.process_of(scene.busy_pilot(), WORKER), signal.SIGKILL)


def _kill_supervisor(scene: Scene) -> None:
    os.kill(scene.process_of(scene.busy_pilot(), SUPERVISOR), signal.SIGKILL)


def _kill_runner(scene: Scene) -> None:
    scene.kill_runner()
    sleep(scene.size.outage_s / 10)
    scene.resume()


def _stop_controller(scene: Scene) -> None:
    scene.cluster.act("stop-controller")
    sleep(scene.size.outage_s)
    scene.cluster.act("start-controller")


def _cut(scene: Scene) -> None:
    hosts = scene.stage.runner_host[0]
    call(hosts, "cut", "h1")
    sleep(scene.size.outage_s)
    call(hosts, "heal", "h1")


def _fill(scene: Scene) -> None:
    filler = scene.workspace / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    sleep(scene.size.outage_s)
    filler.unlink()
    if scene.runner.poll() is not None:
        scene.resume()


def _lease(_folder: Path, size: Size) -> AbstractContextManager[Stage]:
    lease = f'lease = "{size.outage_s:g}s"'
    return nullcontext(Stage(pilots=lease, settings=NOTICES_SOON))


def _short_walltime(_folder: Path, size: Size) -> AbstractContextManager[Stage]:
    walltime_s = max(size.outage_s, 5 * size.seconds[1])
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
OUTAGES = {
    outage.name: outage
    for outage in (
        Outage(
            name="scancel",
            title="a pilot is cancelled (`scancel`)",
            disturb=_scancel,
            seen="`3 up, 1 starting`: another pilot takes its place",
        ),
        Outage(
            name="node-crash",
            title="a node crashes: `slurmd` and all processes killed",
            disturb=_crash,
            seen="`2 away`, then `2 draining` as Slurm has given their jobs up, then others",
            setting=_lease,
        ),
        Outage(
            name="node-hang",
            title="a node hangs: all processes stopped, then continued",
            disturb=_hang,
            setting=lambda _folder, _size: nullcontext(Stage(settings=NOTICES_SOON)),
            seen="`2 draining` as Slurm has given their jobs up; they leave when the node is back",
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
            seen="as if the pilot had been cancelled",
        ),
        Outage(
            name="runner",
            title="runner and Dask scheduler are killed (`kill -9`), and the run resumed",
            disturb=_kill_runner,
            seen="`euclid-dask resume` takes the tasks over while they run",
        ),
        Outage(
            name="controller",
            title="`slurmctld` is down",
            disturb=_stop_controller,
            seen="a warning that Slurm cannot be asked; tasks go on and new ones start",
        ),
        Outage(
            name="walltime",
            title="pilots reach their walltime",
            disturb=_nothing,
            seen="others are requested; a pilot gets nothing that would not end there",
            setting=_short_walltime,
        ),
        Outage(
            name="network",
            title="the network between runner and pilots is cut, then heals",
            disturb=_cut,
            seen="`4 away`; tasks go on, and new ones start when it heals",
            setting=_two_hosts,
        ),
        Outage(
            name="disk",
            title="the disk of the workspace is full, then freed",
            disturb=_fill,
            seen="a warning, and another one when there is space again; the run goes on by itself",
            setting=_small_disk,
        ),
    )
}
