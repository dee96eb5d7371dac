"""Package definitions of the shear analysis."""

from euclidwf.framework.taskdefs import Executable, Input, Output, ComputingResources

from magic_values import ERun_CTE, ERun_MER

she_object_id_split = Executable(command=ERun_CTE + "SHE_CTE_ObjectIdSplit",
                                 inputs=[Input("mer_tables", content_type="listfile"),
                                         Input("pipeline_config")],
                                 outputs=[Output("object_ids", mime_type="json")])

she_remap_mosaic_stack = Executable(command=ERun_MER + "SHE_MER_RemapMosaic",
                                    inputs=["mosaic"], outputs=[Output("stack")],
                                    resources=ComputingResources(cores=1, ram=15.9, walltime=4))

she_remap_mosaic_exposure = Executable(command=ERun_MER + "SHE_MER_RemapMosaic",
                                       inputs=["mosaic"], outputs=[Output("stack")],
                                       resources=ComputingResources(cores=1, ram=3, walltime=2.5))

she_estimate_shear = Executable(command=ERun_CTE + "SHE_CTE_EstimateShear --methods KSB 'Lens MC'",
                                inputs=["object_ids", "stack", "phz_output_cat", "pipeline_config"],
                                outputs=[Output("shear_estimates"), Output("chains")],
                                resources=ComputingResources(cores=16, ram=23.9, walltime=24))

she_merge = Executable(command=ERun_CTE + "SHE_CTE_ShearEstimatesMerge",
                       inputs=[Input("shear_estimates_listfile", content_type="listfile"),
                               Input("pipeline_config")],
                       outputs=[Output("merged"), Output("merged_list", mime_type="xml",
                                                         content_type="listfile")])

she_cleanup = Executable(command=ERun_CTE + "SHE_CTE_Cleanup", inputs=["estimates", "ready"])
