"""The files that are results of a run, by who made them, and what each of them was made from."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path

from euclid_dask.core.errors import InputError
from euclid_dask.core.ids import TaskId
from euclid_dask.core.values import Value
from euclid_dask.data.lists import closure
from euclid_dask.data.model import Product
from euclid_dask.data.names import path_problem
from euclid_dask.data.products import read_product
from euclid_dask.planner.identity import entered
from euclid_dask.planner.nodes import Given, Joined, Made, Resolved, Task
from euclid_dask.planner.run import Run


class Result(Value, frozen=True, kw_only=True):
    """A file that is an output of the pipeline, or is named by one that is a list."""

    path: str
    """Relative to the workdir."""
    task: TaskId
    port: str
    """The output port of the task: the file's own, or that of the list that names it."""
    product: Product | None = None
    """What it says, if it is a product."""


def results(run: Run, workdir: Path) -> list[Result]:
    """Return the results of a run that tasks made, each once; lists are opened.

    Raises:
        InputError: A list or product is damaged, or something is missing.
    """
    found: dict[str, Result] = {}
    for output in run.flow.body.outputs:
        for made in _made(run.board.root.resolve(output.source)):
            for one in _files(made, workdir):
                found.setdefault(one.path, one)
    return list(found.values())


def _made(value: Resolved) -> Iterator[Made]:
    match value:
        case Made(task=task) if task.is_made:
            yield value
        case Joined(split=split) if not split.partial:
            for branch in entered(split):
                for result in () if branch.failed else branch.results():
                    yield from _made(result)
        case _:
            pass


def _files(made: Made, workdir: Path) -> Iterator[Result]:
    path = made.task.output_path(made.port)
    if not made.task.spec.output(made.port).is_list:
        yield Result(
            path=path, task=made.task.id, port=made.port, product=product_at(workdir / path)
        )
        return
    members = _members(path, workdir)
    for name in members:
        yield Result(
            path=name, task=made.task.id, port=made.port, product=product_at(workdir / name)
        )


def _members(path: str, workdir: Path) -> tuple[str, ...]:
    """Return the products and other files that a list names, directly or not."""

    def find(name: str) -> Path | None:
        return workdir / name if (workdir / name).is_file() else None

    found = closure(path, find)
    if found.missing:
        raise InputError(f"{workdir / path}: {found.missing[0]} is missing")
    return (*found.products, *found.files)


def product_at(path: Path) -> Product | None:
    """Return what a product says; None for any other file, also XML that is no product."""
    if path.suffix.lower() != ".xml":
        return None
    try:
        return read_product(path)
    except InputError:
        return None


class Ancestry:
    """Finds what results were made from: the nearest products that are kept, or come from outside.

    What came on the way is looked through: nobody will know it any more.
    """

    def __init__(self, run: Run, workdir: Path, kept: Iterable[Result]) -> None:
        self._run = run
        self._workdir = workdir
        self._ids: dict[str, str] = {}
        self._of_output: dict[tuple[str, str], tuple[str, ...]] = {}
        for one in kept:
            if one.product is not None:
                key = (one.task, one.port)
                self._ids[one.path] = one.product.product_id
                self._of_output[key] = (*self._of_output.get(key, ()), one.product.product_id)
        self._of_task: dict[str, tuple[str, ...]] = {}
        self._of_split: dict[str, tuple[str, ...]] = {}
        self._outside = cache(self._of_file)

    def of(self, task: Task) -> list[tuple[str, str]]:
        """Return the ports of a task, with what came in by each."""
        pairs = [
            (port, target) for port, value in task.arguments() for target in self._targets(value)
        ]
        return list(dict.fromkeys(pairs))

    def _targets(self, value: Resolved) -> tuple[str, ...]:
        match value:
            case Made(task=task, port=port):
                return self._of_output.get((task.id, port)) or self._through(task)
            case Joined(split=split):
                if split.id not in self._of_split:
                    made = [self._targets(one) for it in entered(split) for one in it.results()]
                    self._of_split[split.id] = tuple(dict.fromkeys(chain.from_iterable(made)))
                return self._of_split[split.id]
            case Given(file=file, is_file=True):
                return self._known(file.path) or self._item(value) or self._outside(file.path)
            case _:
                return ()

    def _known(self, path: str) -> tuple[str, ...]:
        return (self._ids[path],) if path in self._ids else ()

    def _through(self, task: Task) -> tuple[str, ...]:
        if task.id not in self._of_task:
            self._of_task[task.id] = tuple(dict.fromkeys(target for _, target in self.of(task)))
        return self._of_task[task.id]

    def _item(self, value: Given) -> tuple[str, ...]:
        """Return what an element of a list was made from, if tasks of the run made the list."""
        branch, split = value.branch, value.split
        if branch is None or split is None:
            return ()
        match split.iterated:
            case Joined(split=before):
                made = [self._targets(one) for one in entered(before)[branch.index - 1].results()]
                return tuple(dict.fromkeys(chain.from_iterable(made)))
            case Made(task=task):
                return self._through(task)
            case _:
                return ()

    def _of_file(self, path: str) -> tuple[str, ...]:
        """Return the ids of the products in a file from outside, the names of other files."""
        if path_problem(path) or not (self._workdir / path).is_file():
            return (Path(path).name,)
        product = product_at(self._workdir / path)
        if product is not None:
            return (product.product_id,)
        if path[-5:].lower() != ".json":
            return (Path(path).name,)
        try:
            members = _members(path, self._workdir)
        except InputError:
            return (Path(path).name,)
        ids: Mapping[str, Product | None] = {
            name: product_at(self._workdir / name) for name in members
        }
        named = {file.name for one in ids.values() if one is not None for file in one.files}
        return tuple(
            Path(name).name if one is None else one.product_id
            for name, one in ids.items()
            if one is not None or Path(name).name not in named
        )
