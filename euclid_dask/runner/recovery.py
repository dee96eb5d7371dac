"""Taking a run up again after its runner ended, however it ended.

First everything of the run that still lives on this host is killed, so that every attempt in
flight is provably dead. Then the records say how each of them ended: a receipt counts as if its
news had arrived, an attempt without one is lost, one that never started is given back.

Attempts on pilots that may live are left alone: their supervisors own them. The executor adopts
them and answers for them when the pilot joins, or is gone.
"""

from euclid_dask.core.effects import StartBundle
from euclid_dask.core.errors import WorkdirError
from euclid_dask.core.events import RunResumed
from euclid_dask.core.ids import RunId
from euclid_dask.core.seams import BundleOrder, Clock, Traces
from euclid_dask.core.values import replace
from euclid_dask.planner import Fleet
from euclid_dask.planner.run import Bundle, Run
from euclid_dask.planner.verdicts import judged
from euclid_dask.runner.active import ActiveRun
from euclid_dask.runner.believed import believed_pilots
from euclid_dask.runner.earlier import Known, earlier_runs, write_index
from euclid_dask.runner.history import replay
from euclid_dask.runner.journal import Journal
from euclid_dask.runner.missing import restore, results_gone
from euclid_dask.runner.news import lost
from euclid_dask.runner.removal import remove
from euclid_dask.runner.traces import HOST_TRACES
from euclid_dask.runner.workspace import Lock, Workspace


def resume_run(
    workspace: Workspace, run_id: RunId, clock: Clock, *, traces: Traces = HOST_TRACES
) -> ActiveRun:
    """Take up a run where its journal ends; failed tasks get another chance.

    Results of the pipeline that are gone are made again.

    Raises:
        JournalError: The journal cannot be read.
        WorkdirError: Another runner works in the workdir, or a process cannot be killed.
    """
    lock = Lock.take(workspace)
    try:
        run = replay(workspace.files(run_id).journal)
        active = _settled(workspace, run, lock, clock, traces)
        active.earlier = tuple(one for one in earlier_runs(workspace) if one.id != run_id)
        active.known = Known(active.earlier, run.options)
        again, joined = results_gone(run, workspace.workdir)
        active.record(RunResumed(at_s=clock.now_s(), again=tuple(again)))
        for value in joined:
            restore(active, value)
        active.journal.sync()
    except BaseException:
        lock.release()
        raise
    return active


def settle(workspace: Workspace, run: Run, lock: Lock, clock: Clock, traces: Traces) -> None:
    """Write down how the attempts of a run ended whose runner died, without going on with it.

    Raises:
        WorkdirError: A process cannot be killed, or lives on a pilot.
    """
    active = _settled(workspace, run, lock, clock, traces)
    if active.adopted:
        active.journal.close()
        pilots = ", ".join(sorted({bundle.pilot for bundle in active.adopted}))
        raise WorkdirError(
            f"tasks of {run.id} may still run on pilots: {pilots}",
            hint=f"go on with that run: euclid-dask resume {workspace.workdir} {run.id}",
        )
    active.journal.sync()
    active.journal.close()
    write_index(workspace.files(run.id), run)


def _settled(workspace: Workspace, run: Run, lock: Lock, clock: Clock, traces: Traces) -> ActiveRun:
    """Return the run as it stands when all its attempts have ended that are not adopted."""
    files = workspace.files(run.id)
    living = believed_pilots(workspace)
    adopted = [bundle for bundle in run.bundles.values() if bundle.pilot in living]
    if not adopted:
        end_processes(run.id, traces)
    active = ActiveRun(
        run=run,
        journal=Journal.reopen(files.journal),
        place=replace(run.place, workdir=str(workspace.workdir), records=str(files.attempts)),
        workspace=workspace,
        lock=lock,
        traces=traces,
    )
    active.adopted = tuple(_order(active, bundle) for bundle in adopted)
    in_flight = [task for task in run.active if task.pilot not in living]
    for task in sorted(in_flight, key=lambda task: (task.bundle, task.sequence)):
        reason = "the runner ended while it ran"
        unknown = Fleet(complete=False)
        for event in lost(active, task.id, task.attempt, reason, clock.now_s()):
            active.record(judged(event, run, unknown))
    active.old = {task.id for task in run.tasks.values() if task.is_finished}
    for task in run.tasks.values():
        remove(active.workdir, task.removed)
    active.old |= {split.id for split in run.splits.values() if split.is_finished}
    return active


def _order(active: ActiveRun, bundle: Bundle) -> BundleOrder:
    """Return what is left of a bundle, as it was ordered."""
    tasks = sorted((active.run.tasks[task] for task in bundle.remaining), key=lambda t: t.sequence)
    numbered = tuple((task.id, task.attempt) for task in tasks)
    return active.bundle_order(StartBundle(run=active.run.id, pilot=bundle.pilot, tasks=numbered))


def end_processes(run_id: RunId, traces: Traces) -> None:
    """Kill everything of a run that still lives.

    Raises:
        WorkdirError: A process does not die.
    """
    alive = traces.kill(run_id)
    if alive:
        pids = ", ".join(map(str, alive))
        raise WorkdirError(
            f"processes of {run_id} cannot be killed: {pids}",
            hint="end them and resume again; their outputs might be overwritten otherwise",
        )
