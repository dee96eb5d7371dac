"""Inputs that are questions: asked once, written down, and their answers staged into the workdir.

    exposures='query: DpdVisRawFrame where Data.ObservationSequence.ObservationId == 31283'

Rule: what was asked is asked before the run; the run knows files of its workdir, and their
answers' file. Whatever is cut off on the way can be done again: what is there is not done again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from euclid_dask.api.copies import QUIET, Progress, brought
from euclid_dask.api.data import DataSettings, open_registry
from euclid_dask.api.settings import Settings
from euclid_dask.core.errors import EuclidDaskError, InputError, RegistryError
from euclid_dask.core.events import RunOptions
from euclid_dask.core.flow import Flow
from euclid_dask.core.states import RunState
from euclid_dask.core.values import to_json
from euclid_dask.data.aftermath import Harm, harmed
from euclid_dask.data.delivery import copies_to_zone
from euclid_dask.data.inputs import Wanted, sources, storage_of, wanted_files
from euclid_dask.data.local import write_whole
from euclid_dask.data.products import value_path
from euclid_dask.data.query import Query, paths
from euclid_dask.data.questions import Answer, Answers, ask, digest, freeze, query_of, read_answers
from euclid_dask.data.registry import Registry
from euclid_dask.data.routes import NoRouteError
from euclid_dask.data.stage import MANIFEST, Manifest, read_manifest, stage
from euclid_dask.data.states import ReplicaCue
from euclid_dask.dataflow.names import did_you_mean
from euclid_dask.dataflow.steps import list_inputs
from euclid_dask.planner.run import Run
from euclid_dask.runner.workspace import Lock, Workspace

ANSWERS: Final = "answers"
"""The folder of answers, among the records of a workdir."""
PIN_S: Final = 30 * 86400.0
"""How long the inputs of a run stay that is not done, in seconds."""
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a run gets for its questions.

    `files` are those of the ports; `path`, relative to the workdir, is where the answers are kept.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    warnings: tuple[str, ...] = ()


def answer(flow: Flow, questions: Mapping[str, str], settings: Settings, workdir: Path) -> Answered:
    """Answer the questions of ports, keep the answers, and stage their products into the workdir.

    Raises:
        InputError: A question cannot be answered, or its files cannot be had.
        StoppedError: Copies have to be made first, and are not made yet.
        WorkdirError: Another runner works there.
    """
    answers = answers_to(flow, questions, settings)
    workspace = Workspace(workdir)
    workspace.create()
    lock, warnings = Lock.take(workspace), ""
    try:
        path = freeze(answers, workspace.records / ANSWERS)
        if settings.answers is None or not _is_staged(answers, workdir):
            warnings = _stage(answers, settings, workdir, _owner(path))
        files = {port: str(_port_file(port, it, workdir)) for port, it in answers.asked.items()}
    finally:
        lock.release()
    kept = str(path.relative_to(workdir))
    return Answered(files=files, path=kept, warnings=(warnings,) if warnings else ())


def answers_to(flow: Flow, questions: Mapping[str, str], settings: Settings) -> Answers:
    """Return the answers to the questions of ports: the registry's, or those of before.

    Raises:
        InputError: A question cannot be read, or no product fulfils it, or too many do.
    """
    answers = collected(flow, questions, settings)
    refuse_many(answers.asked)
    return answers


def collected(flow: Flow, questions: Mapping[str, str], settings: Settings) -> Answers:
    """Return all products that fulfil the questions of ports, however many.

    Raises:
        InputError: A question cannot be read, or no product fulfils it.
    """
    if settings.answers is not None:
        return _as_before(Path(settings.answers), questions)
    with open_registry(settings.data(), read_only=True) as registry:
        for port, question in questions.items():
            _refuse_unknown(registry, port, question)
        answers = ask(registry, questions, list_inputs(flow))
    for port, one in answers.asked.items():
        if not one.products:
            raise InputError(
                f"{port}: no product fulfils {one.question}",
                hint=f"try with `euclid-dask find`; {port}=None runs without",
            )
    return answers


def refuse_many(asked: Mapping[str, Answer], where: str = "") -> None:
    """Raise InputError when a port that takes one product has got more.

    Args:
        asked: The answers by port.
        where: What they are the answers of, as the end of a sentence.
    """
    for port, one in asked.items():
        if (count := len(one.products)) > 1 and not one.is_list:
            some = ", ".join(product.product_id for product in one.products[:_SHOWN])
            more = ", ..." if count > _SHOWN else ""
            raise InputError(
                f"{port} takes one product, and {count:,} fulfil its query{where}: {some}{more}",
                hint="ask for one, or have a run for each value of something: --group-by PATH",
            )


def staged(options: RunOptions, workdir: Path) -> Manifest:
    """Return what was staged for the questions of a run."""
    ids = read_answers(workdir / options.answers).products
    manifest = read_manifest(workdir)
    entries = tuple(one for one in manifest.entries if one.product in ids)
    return Manifest(zone=manifest.zone, entries=entries)


def ended(run: Run, workdir: Path, settings: Settings) -> list[str]:
    """Look after the inputs of a run that has ended; return warnings.

    Replicas that its tasks changed through links are read no more. If the run is done, its inputs
    may go again.
    """
    told = _harm_of(run, workdir, settings)
    if run.state is RunState.DONE:
        with suppress(EuclidDaskError), open_registry(settings.data()) as registry:
            registry.pins.remove(_owner(workdir / run.options.answers))
    return told


def _owner(answers: Path) -> str:
    """Return who needs the inputs of a run to stay."""
    return f"run with {answers}"


def _harm_of(run: Run, workdir: Path, settings: Settings) -> list[str]:
    if not (found := harmed(staged(run.options, workdir))):
        return []
    told = [f"{one.entry.path}, an input, {one.what} during the run" for one in found]
    try:
        with open_registry(settings.data()) as registry:
            _suspect(registry, found, settings.data().zone, run.id)
    except EuclidDaskError as error:
        told.append(f"the registry does not know yet that inputs were changed: {error.message}")
    return told


def _suspect(registry: Registry, harm: Sequence[Harm], zone: str, run: str) -> None:
    for one in harm:
        name = one.entry.file.name
        if storage := storage_of(registry, name, Path(one.entry.path), zone):
            detail = f"{one.what} during run {run}"
            registry.change_replicas([(name, storage)], ReplicaCue.SUSPECT, detail)


def _as_before(path: Path, questions: Mapping[str, str]) -> Answers:
    known = read_answers(path).asked
    for port, question in questions.items():
        if port not in known or known[port].question != question:
            raise InputError(
                f"{path} has no answer to {question} for {port}",
                hint="leave out --answers to ask the registry",
            )
    return Answers(asked={port: known[port] for port in questions})


def _refuse_unknown(registry: Registry, port: str, question: str) -> None:
    """Refuse a question for a type or value that no product has, with what there is."""
    try:
        query = query_of(question)
    except InputError as error:
        raise InputError(f"{port}: {error.message}", hint=error.hint) from error
    if query.type and not registry.find(Query(type=query.type), limit=1):
        raise InputError(
            f"{port}: the registry has no products of the type {query.type}",
            hint=did_you_mean(query.type, registry.types(), "its types"),
        )
    refuse_unread(registry, paths(query.where), port)


def refuse_unread(registry: Registry, wanted: Iterable[str], what: str) -> None:
    """Raise InputError when values were read from no product; `what` asks for them."""
    asked = {value_path(path) for path in wanted}
    asked = {path for path in asked if not path.startswith("Header.")}
    known = registry.value_paths() if asked else []
    if unknown := sorted(asked - set(known)):
        raise InputError(
            f"{what}: no product has the value {unknown[0]} in the registry",
            hint=did_you_mean(unknown[0], known, "values that were ingested"),
        )


def _stage(answers: Answers, settings: Settings, workdir: Path, owner: str) -> str:
    """Have the products and their files in the workdir; return a warning, "" for none."""
    data = settings.data()
    xmls = {key: one.xml for key, one in answers.products.items()}
    with open_registry(data, read_only=True) as registry:
        wanted = wanted_files(registry, xmls)
        _refuse_unreadable(registry, wanted)
        is_near = not _copies(registry, wanted, data.zone)
    warning = _pin(wanted, data, owner)
    if not is_near:
        _bring(wanted, data, settings.copying or (lambda: nullcontext(QUIET)))
    with open_registry(data, read_only=True) as registry:
        found = sources(registry, wanted, data.zone)
    stage(found, workdir, zone=data.zone)
    return warning


def _pin(wanted: Sequence[Wanted], data: DataSettings, owner: str) -> str:
    """Have no replica removed while the run needs it; return a warning if that cannot be said."""
    try:
        with open_registry(data) as registry:
            registry.pins.put([one.name for one in wanted], owner, PIN_S)
    except RegistryError as error:
        return f"nothing keeps the inputs of this run from being removed: {error.message}"
    return ""


def _is_staged(answers: Answers, workdir: Path) -> bool:
    """Tell whether all is there, as for the job that `submit` prepared: it needs no registry."""
    if not (workdir / MANIFEST).exists():
        return False
    ids = answers.products
    entries = [one for one in read_manifest(workdir).entries if one.product in ids]
    return ids.keys() <= {one.product for one in entries} and all(
        (workdir / one.place).exists() for one in entries
    )


def _refuse_unreadable(registry: Registry, wanted: Sequence[Wanted]) -> None:
    replicas = registry.locate([one.name for one in wanted])
    if gone := [one for one in wanted if not replicas[one.name]]:
        more = f", and {len(gone) - 1} more" if len(gone) > 1 else ""
        raise InputError(
            f"{gone[0].name} of product {gone[0].product} has no replica that can be read{more}",
            hint=f"what became of it: euclid-dask locate {gone[0].name}",
        )


def _copies(registry: Registry, wanted: Sequence[Wanted], zone: str) -> list[tuple[str, str]]:
    try:
        return copies_to_zone(registry, [one.name for one in wanted], zone)
    except NoRouteError as error:
        raise InputError(
            f"hosts of the zone {zone} cannot get the files: {error.message}", hint=error.hint
        ) from error


def _bring(
    wanted: Sequence[Wanted],
    data: DataSettings,
    copying: Callable[[], AbstractContextManager[Progress]],
) -> None:
    """Have files copied to where hosts of the zone see them, in as many hops as it takes."""
    with open_registry(data) as registry, copying() as progress:
        brought(registry, data, lambda: _copies(registry, wanted, data.zone), progress)


def _port_file(port: str, answer: Answer, workdir: Path) -> Path:
    """Return the file that a port gets; write it, if it is a list.

    Its name says what is in it: another answer gets another list, and earlier runs keep theirs.
    """
    names = [one.xml for one in answer.products]
    if not answer.is_list:
        return workdir / names[0]
    content = to_json(names) + b"\n"
    path = workdir / f"{port}-{digest(content)}.json"
    if not path.exists():
        write_whole(path, content)
    return path
