"""Groups of products: one for each value, in order, each in a folder of its own."""

import re

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.data.grouping import Group, group
from euclid_dask.data.model import FoundProduct, Product, ProductValue
from euclid_dask.data.questions import Answer, Answers

TILE = "Data.TileIndex"


def product(key: str, *texts: str, path: str = TILE, **header: str) -> Product:
    values = tuple(
        ProductValue(path=path, ordinal=number, text=text) for number, text in enumerate(texts)
    )
    return Product(product_id=key, type="DpdFrame", values=values, header=header)


def answer(*products: Product, is_list: bool = True) -> Answer:
    found = tuple(
        FoundProduct(product_id=one.product_id, type=one.type, xml=f"{one.product_id}.xml")
        for one in products
    )
    return Answer(question="query: x", products=found, is_list=is_list)


def grouped(
    by: tuple[str, ...] = (TILE,),
    links: dict[str, tuple[str, ...]] | None = None,
    **ports: tuple[Product, ...],
) -> tuple[Group, ...]:
    answers = Answers(asked={port: answer(*some) for port, some in ports.items()})
    known = {one.product_id: one for some in ports.values() for one in some}
    return group(answers, known, by, links or {})


def ids(one: Group, port: str) -> list[str]:
    return [it.product_id for it in one.asked[port].products]


def test_each_value_has_a_group_and_numbers_are_in_their_order() -> None:
    found = grouped(a=(product("p", "10"), product("q", "9"), product("r", "10")))
    assert [(one.values, one.folder, ids(one, "a")) for one in found] == [
        (("9",), "9", ["q"]),
        (("10",), "10", ["p", "r"]),
    ]


def test_a_product_of_two_values_is_in_two_groups() -> None:
    found = grouped(a=(product("p", "1", "2", "2"),))
    assert [(one.folder, ids(one, "a")) for one in found] == [("1", ["p"]), ("2", ["p"])]


def test_a_linked_port_gets_what_has_the_value_elsewhere_and_another_all() -> None:
    found = grouped(
        links={"psf": ("Data.Tile",), "flat": ()},
        a=(product("p", "1"), product("q", "2")),
        psf=(product("m", "2", path="Data.Tile"), product("n", "3", path="Data.Tile")),
        flat=(product("f"), product("g")),
    )
    assert [(ids(one, "psf"), ids(one, "flat"), one.missing) for one in found] == [
        ([], ["f", "g"], ("psf",)),
        (["m"], ["f", "g"], ()),
    ]


def test_several_paths_group_by_all_of_them_also_by_headers() -> None:
    found = grouped(
        (TILE, "Header.Release.Release"),
        a=(product("p", "1", Release="R1"), product("q", "1", Release="R2")),
    )
    assert [one.folder for one in found] == ["1_R1", "1_R2"]


def test_odd_and_equal_names_have_folders_of_their_own() -> None:
    texts = ["..", "a/b", "a b", "A", "a", "x" * 200, "é"]
    found = grouped(a=tuple(product(str(n), text) for n, text in enumerate(texts)))
    folders = [one.folder for one in found]
    assert len({one.casefold() for one in folders}) == len(texts)
    assert all(re.fullmatch(r"[A-Za-z0-9_+~-]{1,120}", one) for one in folders)


def test_a_product_that_says_nothing_there_is_told() -> None:
    with pytest.raises(InputError, match=re.escape(f"a: product q says nothing at {TILE}")):
        grouped(a=(product("p", "1"), product("q")))


def test_one_port_is_grouped_by_the_paths_themselves() -> None:
    with pytest.raises(InputError, match="no port is left"):
        grouped(links={"a": ()}, a=(product("p", "1"),))
