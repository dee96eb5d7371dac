'''
Created on May 4, 2015
'''
from euclidwf.framework.workflow_dsl import pipeline, parallel, nested
from euclidwf.framework.graph_builder import build_graph
from euclidwf.utilities.visualizer import visualize_graph
from vis import vis_split, vis_correct_dark, vis_correct_flat, vis_flag_cosmics, vis_combine


@pipeline(outputs=('image'))
def vis_pipeline(vis_image, master_dark, master_flat, illum_model):
    quadrants, = vis_split(vis_image=vis_image)
    corrected = correct_quadrant(quadrant=quadrants, master_dark=master_dark,
                                 master_flat=master_flat)
    return vis_combine(quadrant_list=corrected, illum_model=illum_model)


@parallel(iterable='quadrant')
def correct_quadrant(quadrant, master_dark, master_flat):
    corrected, log = basic_corrections(exposure=quadrant, dark=master_dark, flat=master_flat)
    return flag(corrected), log


@nested(outputs=('corrected', 'log'))
def basic_corrections(exposure, dark, flat):
    (exposure,) = vis_correct_dark(exposure=exposure, master_dark=dark)
    exposure, log = vis_correct_flat(exposure=exposure, master_flat=flat)
    return exposure, log


def flag(exposure):
    return vis_flag_cosmics(exposure=exposure, name='cosmics')


if __name__ == '__main__':
    pydron_graph = build_graph(vis_pipeline)
    print "number of tasks:", pydron_graph
    visualize_graph(pydron_graph)
