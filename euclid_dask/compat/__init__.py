"""Old import names of scripts. The folder `euclidwf` is installed as a package of its own."""
