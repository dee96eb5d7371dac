from euclidwf.framework.taskdefs import Executable, Input, Output, ComputingResources

PREFIX = 'E-Run IalTestExec 0.9.5'

ialtest_correct_dark = Executable(
    command="%s ialtest_correct_dark" % PREFIX,
    inputs=[Input("image", content_type="simplefile"),
            Input("master_dark"),
            Input("control_params")],
    outputs=[Output("corrected_image"),
             Output("darkmap", mime_type="image")],
    resources=ComputingResources(
        cores=2, ram=2.0, walltime=4.0))

ialtest_correct_flat = Executable(
    command="%s ialtest_correct_flat" % PREFIX,
    inputs=[Input("image"), Input("master_dark"), Input("control_params")],
    outputs=[Output("corrected_image"), Output("deadmap", mime_type="image")],
    resources=ComputingResources(cores=1, ram=1.5, walltime=0.5))
