"""Package definition: what the astromatic flavour of the VIS demo does with other programs.

Needs source-extractor, PSFEx, SCAMP and SWarp on the hosts that run it.
"""

from vis_python import command, large, medium, small

from euclid_dask import Executable, Input, Output

sex_detect = Executable(
    command=command("sex_detect.py", "--threshold=3"),
    inputs=[Input("frame")],
    outputs=[Output("detections", mime_type="fits")],
    resources=small,
)

psfex_psf = Executable(
    command=command("psfex_psf.py"),
    inputs=[Input("detections")],
    outputs=[Output("psf", mime_type="fits")],
    resources=small,
)

scamp_astrometry = Executable(
    command=command("scamp_astrometry.py"),
    inputs=[
        Input("reduced", content_type="listfile"),
        Input("reference_catalogue", dm_type="DpdVisReferenceCatalogue"),
    ],
    outputs=[Output("solution", mime_type="json")],
    resources=medium,
)

swarp_coadd = Executable(
    command=command("swarp_coadd.py"),
    inputs=[Input("reduced", content_type="listfile"), Input("solution")],
    outputs=[Output("coadd", dm_type="DpdVisStackedFrame", mime_type="xml")],
    resources=large,
)

sex_catalogue = Executable(
    command=command("sex_catalogue.py", "--threshold=1.5"),
    inputs=[Input("coadd", dm_type="DpdVisStackedFrame")],
    outputs=[Output("catalogue", mime_type="fits")],
    resources=medium,
)
