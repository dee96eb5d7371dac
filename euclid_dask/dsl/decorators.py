"""The decorators: `@pipeline`, `@nested`, `@parallel`."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

from euclid_dask.core.errors import PipelineError
from euclid_dask.core.flow import OnError
from euclid_dask.dataflow.names import name_problem
from euclid_dask.dsl import place
from euclid_dask.dsl.blocks import Function, NestedFunction, ParallelFunction, PipelineFunction
from euclid_dask.dsl.place import refuse_unknown


def pipeline(
    outputs: Any = None,
    properties: Mapping[str, object] | None = None,  # noqa: ARG001 - reserved, as it always was
    **unknown: object,
) -> Callable[[Function], PipelineFunction]:
    """Mark the pipeline function of a script; `outputs` names what it returns, by position."""
    refuse_unknown("@pipeline", unknown, ("outputs", "properties"))
    names = _names(outputs, "@pipeline")
    if not names:
        raise PipelineError(
            place.at(place.user_line(), "@pipeline names no outputs"),
            hint="write @pipeline(outputs=('name', ...)), one name for each returned value",
        )
    return lambda function: PipelineFunction(function, names)


def nested(
    outputs: Any = None,
    properties: Mapping[str, object] | None = None,  # noqa: ARG001 - reserved, as it always was
    **unknown: object,
) -> Any:
    """Mark a function whose tasks form a block; `outputs` names what it returns, by position."""
    refuse_unknown("@nested", unknown, ("outputs", "properties"))
    if callable(outputs):
        return NestedFunction(outputs, None)
    names = _names(outputs, "@nested") if outputs is not None else None
    return lambda function: NestedFunction(function, names or None)


def parallel(
    iterable: Any = None,
    outputs: Any = ("tuplelist",),
    properties: Mapping[str, object] | None = None,  # noqa: ARG001 - reserved, as it always was
    on_error: str = "fail",
    max_failed_fraction: float = 1.0,
    **unknown: object,
) -> Callable[[Function], ParallelFunction]:
    """Mark a function that runs for each element of the list file in its argument `iterable`.

    `on_error` says what a failed branch does to the list: "fail" fails it, "skip" leaves the
    entry out, "null" writes null; the latter two as long as at most `max_failed_fraction` of
    the branches failed.
    """
    known = ("iterable", "outputs", "properties", "on_error", "max_failed_fraction")
    refuse_unknown("@parallel", unknown, known)
    return functools.partial(
        ParallelFunction,
        iterable=_iterable(iterable),
        output=_one_name(outputs),
        on_error=_on_error(on_error),
        max_failed_fraction=_fraction(max_failed_fraction),
    )


def _iterable(iterable: object) -> str:
    if isinstance(iterable, (tuple, list)) and len(iterable) == 1:
        iterable = iterable[0]
    if not isinstance(iterable, str):
        raise PipelineError(
            place.at(place.user_line(), "@parallel splits over the name of one argument"),
            hint="write @parallel(iterable='name of an argument')",
        )
    return iterable


def _one_name(outputs: object) -> str:
    names = _names(outputs, "@parallel")
    if len(names) != 1:
        raise PipelineError(
            place.at(place.user_line(), f"@parallel names {len(names)} outputs, it has one"),
            hint="it returns exactly one list file, however many values its body returns",
        )
    return names[0]


def _on_error(on_error: str) -> OnError:
    if on_error not in {"fail", "skip", "null"}:
        raise PipelineError(
            place.at(place.user_line(), f"@parallel: on_error cannot be {on_error!r}"),
            hint='it is "fail", "skip" or "null"',
        )
    return cast("OnError", on_error)


def _fraction(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise PipelineError(
            place.at(place.user_line(), f"@parallel: max_failed_fraction cannot be {value!r}"),
            hint="it is a share of the branches, from 0 to 1",
        )
    return float(value)


def _names(outputs: object, what: str) -> tuple[str, ...]:
    if isinstance(outputs, str):
        outputs = (outputs,)
    if callable(outputs):
        raise PipelineError(
            place.at(place.user_line(), f"{what} is used without parentheses"),
            hint=f"write {what}(...)",
        )
    names = tuple(outputs) if isinstance(outputs, (tuple, list)) else ()
    for name in names:
        problem = name_problem(name) if isinstance(name, str) else "is not a text"
        if not problem and not set(name).isdisjoint(" ,="):
            problem = "contains a space, comma or '='"
        if not problem and names.count(name) > 1:
            problem = "is there twice"
        if problem:
            raise PipelineError(
                place.at(place.user_line(), f"{what}: the output name {name!r} {problem}"),
                hint="write outputs=('first', 'second')",
            )
    return names
