"""An executor that gives up: its runs are stopped, and can go on."""

from pathlib import Path

import pytest

from euclid_dask.core.errors import StoppedError
from euclid_dask.core.resources import Resources
from euclid_dask.core.seams import ExecutorGone
from euclid_dask.core.states import RunState
from euclid_dask.sim import Outcome, World, begin, make_runner, resume, simulate
from euclid_dask.sim.files import AllFiles
from euclid_dask.sim.flows import body, flow, task


def test_an_executor_that_gives_up_stops_the_run_and_a_resume_goes_on(tmp_path: Path) -> None:
    world = World(lambda *_: Outcome(duration_s=1.0), files=AllFiles())
    world.add_pilot("p", Resources(cores=1))
    active = begin(world, flow(body(task("a"))), tmp_path)
    runner = make_runner(world, [active])
    runner.inbox.put(ExecutorGone(reason="no scheduler", hint="when it is back"))
    with pytest.raises(StoppedError, match=f"no scheduler\n.*when it is back: .*{tmp_path}"):
        runner.run_until_ended()
    active.close()
    resumed = resume(world, tmp_path)
    simulate(world, resumed)
    assert resumed.run.state is RunState.DONE
