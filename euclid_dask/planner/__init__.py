"""What a run is, and what to do next: pure functions of events, pilots and a policy.

`run.Run` folds the events of one journal; `decide.decide` looks at runs and pilots and answers
with effects. This room knows no clock, no disk, no thread and no Dask.
"""

from euclid_dask.planner.decide import decide, is_due
from euclid_dask.planner.fleet import Fleet, Pilot
from euclid_dask.planner.nodes import Split, Task
from euclid_dask.planner.provisioning import Provisioning
from euclid_dask.planner.run import Run

__all__ = ["Fleet", "Pilot", "Provisioning", "Run", "Split", "Task", "decide", "is_due"]
