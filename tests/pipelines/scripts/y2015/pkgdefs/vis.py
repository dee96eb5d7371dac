'''
Package definitions of the VIS processing function.
'''
from euclidwf.framework.taskdefs import Executable, Input, Output, ComputingResources, \
    MIME_TXT, TYPE_LISTFILE

vis_split = Executable(command="vis_split", inputs=["vis_image"],
                       outputs=[Output("quadrants", mime_type=MIME_TXT, content_type=TYPE_LISTFILE)])

vis_correct_dark = Executable(command="vis_correct_dark",
                              inputs=["exposure", Input("master_dark")],
                              outputs=["dark_corrected"],
                              resources=ComputingResources(cores=2, ram=2.0, walltime=0.5))

vis_correct_flat = Executable(command="vis_correct_flat",
                              inputs=["exposure", "master_flat"],
                              outputs=["flat_corrected", "flat_log"])

vis_flag_cosmics = Executable(command="vis_flag_cosmics", inputs=["exposure"],
                              outputs=["flagged"])

# never called: the option --exposure would be ambiguous
vis_flag_ghosts = Executable(command="vis_flag_ghosts", inputs=["exposure"], outputs=["exposure"])

vis_combine = Executable(command="vis_combine", inputs=["quadrant_list", "unused"],
                         outputs=["image"])
