"""Shear analysis: estimate the shear of all objects of a tile."""

from euclidwf.framework.workflow_dsl import pipeline, parallel
from PkgDef_SHE_Shear import (she_object_id_split, she_remap_mosaic_stack,
                              she_remap_mosaic_exposure, she_estimate_shear, she_merge,
                              she_cleanup)


@parallel(iterable="object_ids")
def estimate_batch(object_ids, stack, phz_output_cat, pipeline_config):
    estimates, chains = she_estimate_shear(object_ids=object_ids, stack=stack,
                                           phz_output_cat=phz_output_cat,
                                           pipeline_config=pipeline_config)
    return estimates


@parallel(iterable="vis_image")
def remap_exposures(vis_image):
    return she_remap_mosaic_exposure(mosaic=vis_image)


@pipeline(outputs=("merged", "remapped"))
def shear_analysis(vis_image, mer_tables, mosaic, phz_output_cat, spe_output_cat,
                   pipeline_config=None):
    """Estimate the shear of a tile."""
    ids = she_object_id_split(mer_tables=mer_tables, pipeline_config=pipeline_config)
    stack = she_remap_mosaic_stack(mosaic=mosaic)
    remapped = remap_exposures(vis_image=vis_image)
    estimates = estimate_batch(object_ids=ids, stack=stack, phz_output_cat=phz_output_cat,
                               pipeline_config=pipeline_config)
    merged, _ = she_merge(shear_estimates_listfile=estimates, pipeline_config=pipeline_config)
    she_cleanup(estimates=estimates, ready=merged)
    return merged, remapped


if __name__ == '__main__':
    from euclidwf.framework.graph_builder import build_graph
    from euclidwf.utilities.visualizer import visualize_graph
    visualize_graph(build_graph(shear_analysis))
