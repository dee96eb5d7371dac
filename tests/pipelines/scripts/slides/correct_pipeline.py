from euclidwf.framework.workflow_dsl import pipeline

from IALTEST.PkgDef_IalTest import ialtest_correct_dark, \
    ialtest_correct_flat


@pipeline(outputs=('corrected_image', 'darkmap', 'deadmap'))
def correct_pipeline(image, master_dark, master_flat, params):
    dark_corrected, darkmap = ialtest_correct_dark(
        image=image,
        master_dark=master_dark,
        control_params=params)

    flat_corrected, deadmap = ialtest_correct_flat(
        image=dark_corrected,
        master_dark=master_flat,
        control_params=params)

    return flat_corrected, darkmap, deadmap
