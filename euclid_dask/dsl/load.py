"""Load a pipeline script: import it apart from everything else, find its pipeline, trace it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from os.path import exists, isfile
from pathlib import Path
from types import ModuleType

from euclid_dask.core.errors import InputError, PipelineError
from euclid_dask.core.values import replace
from euclid_dask.dataflow.names import did_you_mean, nearest
from euclid_dask.dsl import place
from euclid_dask.dsl.blocks import LoadedPipeline, PipelineFunction
from euclid_dask.dsl.definitions import Executable
from euclid_dask.dsl.isolation import Finder, isolated
from euclid_dask.dsl.mistakes import missing_module, missing_name, mistake
from euclid_dask.dsl.source import compile_source


def load(script: Path, pkgrepo: Path | None = None) -> LoadedPipeline:
    """Load and trace the pipeline of a script; what it prints goes to stderr.

    Args:
        script: The Python file with exactly one `@pipeline` function.
        pkgrepo: Where package definitions are imported from; the script's folder if None.

    Raises:
        InputError: If a path does not exist.
        PipelineError: If the script or what it imports is wrong, with file, line and hint.
    """
    script = _existing_script(script)
    repository = _existing_directory(pkgrepo) if pkgrepo is not None else script.parent
    roots = list(dict.fromkeys([str(repository), str(script.parent)]))
    printed = redirect_stdout(sys.stderr)
    with isolated(roots) as finder, place.collecting(*roots) as remarks, printed:
        with _told(roots):
            module = _execute(script, repository, finder)
        function = _pipeline_of(module, script)
        with _told(roots):
            loaded = function.trace(str(script))
    return replace(
        loaded,
        warnings=tuple(dict.fromkeys([*remarks.warnings, *loaded.warnings])),
        notices=tuple(dict.fromkeys([*remarks.notices, *loaded.notices])),
    )


def load_executables(pkgrepo: Path) -> dict[str, Executable]:
    """Return the executables that the modules directly in a directory define, by variable.

    Raises:
        InputError: If there is no such directory.
        PipelineError: If a module cannot be imported.
    """
    roots = [str(_existing_directory(pkgrepo))]
    found: dict[str, Executable] = {}
    with isolated(roots), place.collecting(*roots), _told(roots):
        for path in sorted(Path(roots[0]).glob("*.py")):
            module = import_module(path.stem)
            items = vars(module).items()
            found |= {name: value for name, value in items if isinstance(value, Executable)}
    return found


def _existing_script(script: Path) -> Path:
    path = Path(script).absolute()
    if isfile(path):  # noqa: PTH113 -- a Path would not take a name that is too long
        return path
    if exists(path):  # noqa: PTH110
        kind = "a directory" if path.is_dir() else "a pipe or a device"
        raise InputError(f"{script}: is {kind}, not a pipeline script", hint="name the file")
    folder = path.parent
    names = [item.name for item in folder.glob("*.py")] if folder.is_dir() else []
    hint = (
        did_you_mean(path.name, names, f"scripts in {folder}")
        if folder.is_dir()
        else f"there is no directory {folder}"
    )
    raise InputError(f"{script}: there is no such pipeline script", hint=hint)


def _existing_directory(pkgrepo: Path) -> Path:
    path = Path(pkgrepo).absolute()
    if not path.is_dir():
        raise InputError(
            f"{pkgrepo}: there is no such directory",
            hint="pkgRepository is the directory that package definitions are imported from",
        )
    return path


def _execute(script: Path, repository: Path, finder: Finder) -> ModuleType:
    name, package = _module_name(script, repository, finder)
    module = ModuleType(name)
    module.__file__ = str(script)
    module.__package__ = package
    finder.served.add(name)
    sys.modules[name] = module
    code = compile_source(script.read_bytes(), str(script))
    exec(code, module.__dict__)  # noqa: S102 - running the script is what loading means
    return module


def _module_name(script: Path, repository: Path, finder: Finder) -> tuple[str, str]:
    """Return the names of the script as a module and of the package it is in."""
    try:
        parts = script.relative_to(repository).with_suffix("").parts
    except ValueError:
        parts = (script.stem,)
    if all(part.isidentifier() for part in parts) and parts[0] not in {"__main__", "__init__"}:
        name = ".".join(parts)
        taken = len(parts) == 1 and _is_other(finder, name, script)
        if not taken:
            return name, ".".join(parts[:-1])
    return "pipeline_script", ""


def _is_other(finder: Finder, name: str, script: Path) -> bool:
    if name in sys.modules or name in sys.stdlib_module_names:
        return True
    spec = finder.find_spec(name)
    finder.served.discard(name)
    return spec is not None and spec.origin != str(script)


def _pipeline_of(module: ModuleType, script: Path) -> PipelineFunction:
    found = {id(value): value for value in vars(module).values() if type(value) is PipelineFunction}
    own = [value for value in found.values() if value.code.co_filename == str(script)]
    candidates = own or list(found.values())
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        where = _foreign_euclidwf()
        if where and "euclidwf" in sys.modules:
            raise _foreign(f"{script}:1", where)
        raise PipelineError(
            f"{script}:1: no function is marked as the pipeline",
            hint="write @pipeline(outputs=(...)) on the line above the pipeline function",
        )
    lines = ", ".join(
        f"'{value.function.__name__}' in line {value.code.co_firstlineno}" for value in candidates
    )
    raise PipelineError(
        f"{place.line_of_code(candidates[1].code)}: {len(candidates)} functions are marked as the "
        f"pipeline: {lines}",
        hint="a script has exactly one; mark the others with @nested, or move them to a script",
    )


@contextmanager
def _told(roots: list[str]) -> Iterator[None]:
    """Turn whatever the author's code raises into a `PipelineError`."""
    try:
        yield
    except (PipelineError, InputError):
        raise
    except ModuleNotFoundError as error:
        _refuse_foreign_euclidwf(error)
        raise missing_module(error, roots, _near_module(error, roots)) from error
    except ImportError as error:
        _refuse_foreign_euclidwf(error)
        known = vars(sys.modules[error.name]) if error.name in sys.modules else {}
        raise missing_name(error, known) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise mistake(error) from error


def _near_module(error: ModuleNotFoundError, roots: list[str]) -> str:
    names = {item.stem: item for root in roots for item in Path(root).iterdir() if _is_module(item)}
    return nearest((error.name or "").rpartition(".")[2], names)


def _is_module(item: Path) -> bool:
    return item.suffix == ".py" or (item.is_dir() and item.name.isidentifier())


def _foreign_euclidwf() -> str | None:
    """Return where a `euclidwf` that is not ours is installed, "" for ours, None for none."""
    try:
        spec = find_spec("euclidwf")
    except ValueError:
        return "an unknown place"
    if spec is None:
        return None
    origin = Path(spec.origin or "-")
    ours = origin.is_file() and b"euclid_dask" in origin.read_bytes()
    return "" if ours else str(origin.parent)


def _refuse_foreign_euclidwf(error: ImportError) -> None:
    if not (error.name or "").startswith("euclidwf"):
        return
    where = _foreign_euclidwf()
    if where is None:
        hint = "it comes with euclid-dask: install it with pip"
        raise PipelineError(
            place.at(place.line_of(error), "there is no module 'euclidwf'"), hint=hint
        ) from error
    if where:
        raise _foreign(place.line_of(error), where) from error


def _foreign(line: str, where: str) -> PipelineError:
    return PipelineError(
        place.at(line, f"'euclidwf' in {where} is not the one of euclid-dask"),
        hint="uninstall it, or import from euclid_dask instead",
    )
