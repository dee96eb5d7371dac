"""Imports of a pipeline, apart from those of everything else in the process.

All runs of a project use the same module names with different contents. So while a script is
loaded, its directories come before everything but the standard library and ourselves; what is
loaded from them is forgotten afterwards, and modules of the same names from elsewhere are put
back. Nothing is written into the directories: no bytecode, no `__init__.py`. Code is always
compiled from the source, since bytecode may be older than it seems.
"""

import importlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from euclid_dask.dsl.source import compile_source

PROTECTED: Final = frozenset(sys.stdlib_module_names) | {"euclid_dask", "euclidwf"}
"""Top-level modules that a pipeline's directories cannot replace."""

_lock = threading.RLock()


class SourceLoader(SourceFileLoader):
    """Loads a module of the pipeline from its source."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source, by the rules for scripts."""
        path = self.get_filename(fullname)
        return compile_source(self.get_data(path), path)


class Finder:
    """Finds modules in the pipeline's directories, before all other finders."""

    def __init__(self, roots: Sequence[str]) -> None:
        self.roots = list(roots)
        self.served: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of the pipeline, None for all others."""
        parent, _, _ = fullname.rpartition(".")
        if parent not in self.served if parent else fullname in PROTECTED:
            return None
        spec = PathFinder.find_spec(fullname, path if parent else self.roots, target)
        if spec is None or (not parent and spec.origin is None and not _has_modules(spec)):
            return None
        if isinstance(spec.loader, SourceFileLoader) and spec.origin:
            spec.loader = SourceLoader(fullname, spec.origin)
        self.served.add(fullname)
        return spec


@contextmanager
def isolated(roots: Sequence[str]) -> Iterator[Finder]:
    """Import from `roots` first, and leave no trace of it. One thread at a time.

    What the code changes in the environment, or its change of the current folder, is taken back.
    """
    with _lock, _same_surroundings():
        finder = Finder(roots)
        path, no_bytecode = list(sys.path), sys.dont_write_bytecode
        hidden = _hide(finder)
        importlib.invalidate_caches()
        sys.meta_path.insert(0, finder)
        sys.path += finder.roots  # last: what comes before others is found by the finder
        sys.dont_write_bytecode = True
        try:
            yield finder
        finally:
            sys.dont_write_bytecode = no_bytecode
            sys.path[:] = path
            sys.meta_path.remove(finder)
            for name in finder.served:
                sys.modules.pop(name, None)
            for root in finder.roots:
                sys.path_importer_cache.pop(root, None)
            sys.modules.update(hidden)


@contextmanager
def _same_surroundings() -> Iterator[None]:
    """Put the current folder and the environment back as they were."""
    folder, environment = _current_folder(), dict(os.environ)
    try:
        yield
    finally:
        if folder and _current_folder() != folder:
            os.chdir(folder)  # noqa: TID251  the script's own change is taken back
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)


def _current_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:  # it was removed
        return ""


def _hide(finder: Finder) -> dict[str, ModuleType]:
    """Take modules that the pipeline has too out of `sys.modules` and return them."""
    tops = {name for name in _module_names(finder.roots) if name in sys.modules}
    same = {name for name in tops if finder.find_spec(name) is not None}
    finder.served.clear()
    names = [name for name in sys.modules if name.partition(".")[0] in same]
    return {name: sys.modules.pop(name) for name in names}


def _module_names(roots: Sequence[str]) -> set[str]:
    names: set[str] = set()
    for root in roots:
        for entry in Path(root).iterdir():
            names.add(entry.stem if entry.suffix == ".py" else entry.name)
    return names


def _has_modules(spec: ModuleSpec) -> bool:
    """Tell whether a directory without `__init__.py` holds modules, so that it is a package."""
    folders = spec.submodule_search_locations or ()
    return any(next(Path(folder).glob("*.py"), None) for folder in folders)
