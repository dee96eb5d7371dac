"""Files of a task, for executables: by name, with nothing but Python's standard library.

An executable that only knows `--workdir` and `data/<FileName>` needs nothing of this. It is for
those that want names checked, products written whole, and no URL anywhere::

    import euclid_files

    product = euclid_files.open_product("frame.xml")
    for name in product.files:
        frame = euclid_files.path(name)                     # where it was staged
    name = euclid_files.new_name("VIS", "COADD", "W-91100", "01.00")
    product.set("Header.ProductId", name)
    product.set_file("Data.DataStorage.DataContainer", name)
    euclid_files.write_product(product, "coadd.xml")        # there whole, or not at all

Rule: it talks to no server and no database; what a task may know is in its workdir.
"""

from euclid_files.lists import read_list, write_list
from euclid_files.names import check_name, new_name
from euclid_files.places import path
from euclid_files.products import Product, open_product, write_product

__all__ = [
    "Product",
    "check_name",
    "new_name",
    "open_product",
    "path",
    "read_list",
    "write_list",
    "write_product",
]
