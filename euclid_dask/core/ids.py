"""Names of things. Ids are strings with a type, so that one is never passed for another."""

from typing import NewType

RunId = NewType("RunId", str)
"""One execution of a pipeline, unique in a site: `vis_pipeline-20260101T120000-3f2a`."""

TaskId = NewType("TaskId", str)
"""The dataflow path of a task: `correct.iterations.3.cosmics`. Unique in a run."""

SplitId = NewType("SplitId", str)
"""The dataflow path of a `@parallel` call: `correct`. Unique in a run."""

PilotId = NewType("PilotId", str)
"""A place where tasks run: the local machine, or one batch job."""

JobId = NewType("JobId", str)
"""A batch job, in the batch system's own spelling: `4711`, `4711.pbs-server`."""
