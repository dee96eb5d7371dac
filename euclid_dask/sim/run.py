"""The real runner in a simulated world."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from euclid_dask.core.events import RunOptions
from euclid_dask.core.flow import Flow
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.loop import OnTurn, Runner
from euclid_dask.runner.pilots import PilotDesk
from euclid_dask.runner.recovery import resume_run
from euclid_dask.runner.start import RunRequest, start_run
from euclid_dask.runner.workspace import Workspace
from euclid_dask.sim.executor import SimulatedExecutor, VirtualInbox
from euclid_dask.sim.world import World

TICK_S: Final = 10.0
"""Virtual seconds without news after which a runner that asks for pilots is woken."""


def begin(
    world: World,
    flow: Flow,
    workdir: Path,
    inputs: Mapping[str, str] | None = None,
    options: RunOptions | None = None,
) -> ActiveRun:
    """Begin a run in a world; `inputs` are files that are there."""
    given = inputs or {}
    request = RunRequest(
        flow=flow,
        inputs={name: given.get(name) for name in flow.body.inputs},
        workdir=workdir,
        options=options or RunOptions(),
        identity_by=options.identity_by if options else "mtime",
        traces=world,
    )
    return start_run(request, world.agenda, software="simulation")


def resume(world: World, workdir: Path, run: str | None = None) -> ActiveRun:
    """Take up a run in the world that its runner left; the latest of the workdir for None."""
    workspace = Workspace(workdir)
    return resume_run(workspace, workspace.find(run), world.agenda, traces=world)


def make_runner(
    world: World,
    runs: Iterable[ActiveRun],
    on_turn: OnTurn | None = None,
    pilots: PilotDesk | None = None,
) -> Runner:
    """Return a runner of `runs` whose time is that of `world`."""
    inbox = VirtualInbox(world) if pilots is None else VirtualInbox(world, TICK_S)
    runner = Runner(
        SimulatedExecutor(world), world.agenda, inbox=inbox, on_turn=on_turn, pilots=pilots
    )
    for active in runs:
        runner.add(active)
    return runner


def simulate(world: World, *runs: ActiveRun, pilots: PilotDesk | None = None) -> None:
    """Carry runs to their ends in virtual time, and let go of them."""
    try:
        make_runner(world, runs, pilots=pilots).run_until_ended()
    finally:
        for active in runs:
            active.close()
