"""Questions in place of files, and their answers, kept for good.

    query: DpdVisRawFrame where Data.ObservationSequence.ObservationId == 31283

Rule: a question is asked once, before a run; its answer is written down, and whoever goes on with
the run reads what is written.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from euclid_dask.core.errors import InputError
from euclid_dask.core.texts import QUESTION
from euclid_dask.core.values import Value, json_reader, to_json
from euclid_dask.data.local import write_whole
from euclid_dask.data.model import FoundProduct
from euclid_dask.data.query import Query, parse_query
from euclid_dask.data.registry import Registry

PAGE: Final = 1000
"""Products that are asked for at once."""


class Answer(Value, frozen=True, kw_only=True):
    """The products that fulfilled a question, in the order of their ids."""

    question: str
    """As it was asked, with its `query:`."""
    products: tuple[FoundProduct, ...]
    is_list: bool = False
    """Whether the port gets a list of them, or the only one."""


class Answers(Value, frozen=True, kw_only=True):
    """What was answered for the ports of one run."""

    asked: Mapping[str, Answer]
    """By port."""

    @property
    def products(self) -> Mapping[str, FoundProduct]:
        """All products by their ids."""
        return {one.product_id: one for it in self.asked.values() for one in it.products}


def ask(registry: Registry, questions: Mapping[str, str], lists: Collection[str]) -> Answers:
    """Return the answers to the questions of ports; `lists` are the ports that take many products.

    Raises:
        InputError: A question cannot be read, or asks for a value that no product has.
    """
    return Answers(
        asked={
            port: Answer(
                question=question,
                products=_fulfilling(registry, port, question),
                is_list=port in lists,
            )
            for port, question in questions.items()
        }
    )


def query_of(question: str) -> Query:
    """Return what a question asks for.

    Raises:
        InputError: It cannot be read.
    """
    return parse_query(question.removeprefix(QUESTION).strip())


def freeze(answers: Answers, folder: Path) -> Path:
    """Write answers down, durably and for good; return the file, which is named by what it says."""
    content = to_json(answers) + b"\n"
    path = folder / f"{digest(content)}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    return path


def read_answers(path: Path) -> Answers:
    """Return the answers that were written down.

    Raises:
        InputError: The file cannot be read, or has no answers in it.
    """
    try:
        return json_reader(Answers)(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"the answers in {path} cannot be read: {reason}") from error


def digest(content: bytes) -> str:
    """Return a short name for a content."""
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def _fulfilling(registry: Registry, port: str, question: str) -> tuple[FoundProduct, ...]:
    try:
        return tuple(_pages(registry, query_of(question)))
    except InputError as error:
        raise InputError(f"{port}: {error.message}", hint=error.hint) from error


def _pages(registry: Registry, query: Query) -> Iterator[FoundProduct]:
    after, more = "", True
    while more:
        page = registry.find(query, limit=PAGE, after=after)
        yield from page
        more = len(page) == PAGE
        after = page[-1].product_id if page else ""
