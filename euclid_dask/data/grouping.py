"""Groups of products that say the same: each is to have a run of its own.

Rule: pure; the same products give the same groups, in the same order, in folders of the same names.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import product as all_pairs
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.values import Value
from euclid_dask.data.model import Product
from euclid_dask.data.products import value_path
from euclid_dask.data.questions import Answer, Answers, digest

_ODD: Final = re.compile(r"[^A-Za-z0-9.+-]+")
_MOST_LETTERS: Final = 100
_HEADER: Final = "Header."


class Group(Value, frozen=True, kw_only=True):
    """Products of all ports that are for one run."""

    values: tuple[str, ...]
    """What they say, in the order of the paths they are grouped by."""
    folder: str
    """Where the run works, below the folder of the campaign."""
    asked: Mapping[str, Answer]
    """By port."""
    missing: tuple[str, ...] = ()
    """Ports for which there is no product that says so: the group cannot run."""


def group(
    answers: Answers,
    products: Mapping[str, Product],
    by: Sequence[str],
    links: Mapping[str, Sequence[str]],
) -> tuple[Group, ...]:
    """Return the groups of all products, sorted by what they say.

    Args:
        answers: The products of each port.
        products: What the products say, by their ids.
        by: The paths that products are grouped by.
        links: Other paths for some ports, as many; none if all its products are for each group.

    Raises:
        InputError: A product says nothing at a path, or no port is grouped by the paths themselves.
    """
    if answers.asked.keys() <= links.keys():
        raise InputError(
            "no port is left that the runs are grouped by",
            hint="leave out --link for one of them",
        )
    parts = {
        port: _parted(port, answer, products, links.get(port, by))
        for port, answer in answers.asked.items()
    }
    keys = {key for port, part in parts.items() if port not in links for key in part}
    folders = _folders(keys)
    return tuple(
        _group(key, folders[key], parts, answers, links) for key in sorted(keys, key=_rank)
    )


def said(product: Product, path: str) -> tuple[str, ...]:
    """Return the texts that a product has at a path, each once."""
    path = value_path(path)
    if path.startswith(_HEADER):
        text = product.header.get(path.removeprefix(_HEADER))
        return () if text is None else (text,)
    return tuple(dict.fromkeys(value.text for value in product.values if value.path == path))


_Key = tuple[str, ...]


def _parted(
    port: str, answer: Answer, products: Mapping[str, Product], paths: Sequence[str]
) -> dict[_Key, list[str]]:
    """Return the ids of products by what they say; a product may say several things."""
    found: dict[_Key, list[str]] = {}
    for one in answer.products:
        texts = [said(products[one.product_id], path) for path in paths]
        for path, there in zip(paths, texts, strict=True):
            if not there:
                raise InputError(
                    f"{port}: product {one.product_id} says nothing at {path}",
                    hint=f"group {port} by another path, or not: --link {port}=PATH or {port}=",
                )
        for key in all_pairs(*texts):
            found.setdefault(key, []).append(one.product_id)
    return found


def _group(
    key: _Key,
    folder: str,
    parts: Mapping[str, Mapping[_Key, Sequence[str]]],
    answers: Answers,
    links: Mapping[str, Sequence[str]],
) -> Group:
    known = answers.products
    asked: dict[str, Answer] = {}
    for port, answer in answers.asked.items():
        own = () if not links.get(port, key) else key
        ids = parts[port].get(own, ())
        chosen = tuple(known[one] for one in ids)
        asked[port] = Answer(question=answer.question, products=chosen, is_list=answer.is_list)
    missing = tuple(port for port, answer in asked.items() if not answer.products)
    return Group(values=key, folder=folder, asked=asked, missing=missing)


def _rank(key: _Key) -> list[tuple[float, str]]:
    """Sort numbers by their size, and behind them texts."""
    return [(float(text) if _is_number(text) else float("inf"), text) for text in key]


def _is_number(text: str) -> bool:
    try:
        return float(text) < float("inf")
    except ValueError:
        return False


def _folders(keys: Collection[_Key]) -> dict[_Key, str]:
    """Return a name for a folder for each key: what can be read, and no two alike."""
    plain = {key: "_".join(_ODD.sub("-", text).strip("-.") for text in key) for key in keys}
    counts = Counter(name.casefold() for name in plain.values())
    return {
        key: name
        if name.strip("_") and len(name) <= _MOST_LETTERS and counts[name.casefold()] == 1
        else f"{name[:_MOST_LETTERS]}~{digest(repr(key).encode())}"
        for key, name in plain.items()
    }
