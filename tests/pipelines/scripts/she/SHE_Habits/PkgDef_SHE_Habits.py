"""Package definitions with habits of many authors."""

from euclidwf.framework.taskdefs import (ComputingResources, Executable, Input, Output,
                                         TYPE_FILE, TYPE_LISTFILE)
try:
    from SHE_CTE import __version__ as cte_version
except ImportError:
    cte_version = "9.2"

submit = Executable(command="E-Run SHE_CTE %s SHE_CTE_Submit" % cte_version, inputs=["ids"],
                    resources=ComputingResources(cores=0, ram=0.1, walltime=24))
make_ids = Executable(command="she_ids", inputs=[Input("field", content_type=TYPE_FILE)],
                      outputs=[Output("object_ids", mime_type="json"),
                               Output("detectors", mime_type="xml",
                                      content_type=TYPE_LISTFILE)])
measure = Executable(command="she_measure",
                     inputs=[Input("object_id", dm_type="she.objectIdList"), "field"],
                     outputs=[Output("shear"), Output("table", mime_type="fits")])
merge = Executable(command="she_merge",
                   inputs=[Input("shears", content_type="listfile"), "whole"],
                   outputs=["merged"])
unused = Executable(command="never", inputs=["a", "a"], outputs=["a"])
