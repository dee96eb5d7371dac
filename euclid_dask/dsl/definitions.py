"""What a package definition is made of: executables, their ports, what they need.

An executable is identified by itself, not by its command; in paths and messages it has the name
of the Python variable it was bound to.
"""

import math
import os.path
import shlex
from collections.abc import Sequence
from typing import Any, Final

from euclid_dask.core.errors import PipelineError
from euclid_dask.core.flow import TaskNode
from euclid_dask.core.ports import ExecutableSpec, InputPort, OutputPort
from euclid_dask.core.resources import GB, Resources
from euclid_dask.core.texts import argument_problem
from euclid_dask.dataflow.names import name_problem
from euclid_dask.dsl import place, trace
from euclid_dask.dsl.handles import Draft, Handle, Made, Outputs
from euclid_dask.dsl.place import refuse_unknown

MIME_XML: Final = "xml"
MIME_TXT: Final = "txt"
TYPE_FILE: Final = "file"
TYPE_LISTFILE: Final = "listfile"


class ComputingResources:
    """What a task needs: a number of cores, RAM and disk in GB, walltime in hours."""

    def __init__(
        self,
        cores: float = 1,
        ram: float = 1.0,
        walltime: float = 1.0,
        disk: float = 0.0,
        **unknown: object,
    ) -> None:
        refuse_unknown("ComputingResources", unknown, ("cores", "ram", "walltime", "disk"))
        self.cores = _amount("cores", cores)
        self.ram = _amount("ram", ram)
        self.walltime = _amount("walltime", walltime)
        self.disk = _amount("disk", disk)

    def __repr__(self) -> str:
        return (
            f"ComputingResources(cores={self.cores:g}, ram={self.ram:g}, "
            f"walltime={self.walltime:g}, disk={self.disk:g})"
        )

    def needs(self) -> Resources:
        """Return the same in cores, bytes and seconds."""
        return Resources(
            cores=float(self.cores),
            ram_bytes=round(self.ram * GB),
            walltime_s=self.walltime * 3600.0,
            disk_bytes=round(self.disk * GB),
        )


class Input:
    """An input port, given to the executable as `--<inputname>=<path>`."""

    def __init__(
        self,
        inputname: str,
        dm_type: str | None = None,
        content_type: str = TYPE_FILE,
        optional: bool = False,  # noqa: FBT001, FBT002 - a keyword in practice
        **unknown: object,
    ) -> None:
        if unknown.pop("mime_type", None) is not None:
            place.warn(
                place.at(place.user_line(), f"mime_type of input '{inputname}' has no meaning")
            )
        known = ("inputname", "dm_type", "content_type", "optional")
        refuse_unknown("Input", unknown, known)
        self.name = self.inputname = _port_name("Input", inputname)
        self.dm_type = dm_type
        self.content_type = content_type
        self.optional = optional

    def __repr__(self) -> str:
        return f"Input({self.name!r})"


class Output:
    """An output port; the runner chooses the file, whose extension is `mime_type`.

    A `temporary` one is removed, with the files that it names, when nothing needs it any more.
    """

    def __init__(
        self,
        outputname: str,
        dm_type: str | None = None,
        mime_type: str = MIME_XML,
        content_type: str = TYPE_FILE,
        temporary: bool = False,  # noqa: FBT001, FBT002 - a keyword in practice
        **unknown: object,
    ) -> None:
        known = ("outputname", "dm_type", "mime_type", "content_type", "temporary")
        refuse_unknown("Output", unknown, known)
        self.name = self.outputname = _port_name("Output", outputname)
        self.dm_type = dm_type
        self.mime_type = _extension(outputname, mime_type)
        self.content_type = content_type
        self.temporary = _flag(f"temporary of output '{outputname}'", temporary)

    def __repr__(self) -> str:
        return f"Output({self.name!r}, mime_type={self.mime_type!r})"


class Executable:
    """A science program. Calling it inside a pipeline function adds a task to the pipeline.

    `command` is split into words like a shell does. Ports are `Input` and `Output` objects or
    plain names.
    """

    def __init__(
        self,
        command: str,
        inputs: Sequence[str | Input] = (),
        outputs: Sequence[str | Output] = (),
        resources: ComputingResources | None = None,
        **unknown: object,
    ) -> None:
        refuse_unknown("Executable", unknown, ("command", "inputs", "outputs", "resources"))
        self.where = place.user_line()
        self.words = _words(command)
        self.command = command
        self.inputs = [_port(port, Input) for port in _ports(inputs, "inputs")]
        self.outputs = [_port(port, Output) for port in _ports(outputs, "outputs")]
        self.resources = _resources(resources)
        self._namespaces = _namespaces()

    def __repr__(self) -> str:
        return f"<executable {self.name}>"

    @property
    def name(self) -> str:
        """The variable it is bound to, or a name made from the command if it has none."""
        for variables in self._namespaces:
            for name, value in variables.items():
                if value is self:
                    return name
        return _command_name(self.words)

    @property
    def module(self) -> str:
        """The name of the module that defines it."""
        return str(self._namespaces[0].get("__name__", "")) if self._namespaces else ""

    def spec(self) -> ExecutableSpec:
        """Return it as a value."""
        return ExecutableSpec(
            name=self.name,
            command=self.words,
            inputs=tuple(
                InputPort(
                    name=port.name,
                    dm_type=port.dm_type,
                    content=port.content_type,
                    optional=port.optional,
                )
                for port in self.inputs
            ),
            outputs=tuple(
                OutputPort(
                    name=port.name,
                    dm_type=port.dm_type,
                    mime_type=port.mime_type,
                    content=port.content_type,
                    temporary=port.temporary,
                )
                for port in self.outputs
            ),
            needs=self.resources.needs(),
            where=self.where,
        )

    def __call__(self, *args: object, **kwargs: object) -> Handle | Outputs:
        """Add a task to the pipeline being traced and return the handles of its outputs."""
        what = f"executable '{self.name}'"
        scope = trace.current_scope(what)
        ports = tuple(dict.fromkeys(port.name for port in self.inputs))
        trace.refuse_positional(what, args, ports)
        self._refuse_ambiguous(what, ports)
        base = trace.call_name(kwargs, self.name, ports)
        trace.drop_unknown(what, kwargs, ports)
        trace.note_missing(what, kwargs, ports)
        origins = {
            port: trace.origin_of(value, scope, f"input '{port}' of {what}")
            for port, value in kwargs.items()
        }
        given = {port: origin for port, origin in origins.items() if origin is not None}
        draft = Draft(base=base, where=place.user_line())
        key = scope.trace.key(self, self.module)
        scope.add(
            draft,
            given,
            lambda name, sources: TaskNode(
                name=name, executable=key, inputs=sources, where=draft.where
            ),
        )
        return Outputs.of(
            what,
            [
                Handle(
                    scope,
                    Made(draft=draft, port=port.name),
                    port.name,
                    f"output '{port.name}' of '{base}'",
                )
                for port in self.outputs
            ],
        )

    def _refuse_ambiguous(self, what: str, inputs: tuple[str, ...]) -> None:
        names = [*inputs, *(port.name for port in self.outputs)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PipelineError(
                place.at(self.where, f"{what} has two ports named '{twice[0]}'"),
                hint=f"the option --{twice[0]} would be ambiguous; rename one of them",
            )


class Package:
    """A named set of executables, as the earliest package definitions had it."""

    def __init__(self, name: str, executables: Sequence[Executable] = ()) -> None:
        self.name = name
        self.executables = list(executables)


def _amount(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        problem = f"must be a number, not {value!r}"
    elif not math.isfinite(value) or value < 0 or (name == "walltime" and value == 0):
        problem = f"cannot be {value}"
    else:
        return value
    units = {"cores": "a number of cores", "walltime": "hours"}.get(name, "GB")
    raise PipelineError(
        place.at(place.user_line(), f"ComputingResources: {name} {problem}"),
        hint=f"{name} is {units}",
    )


def _port_name(what: str, name: object) -> str:
    problem = name_problem(name) if isinstance(name, str) else f"is {name!r}, not a text"
    if not problem and isinstance(name, str) and not set(name).isdisjoint(" =,"):
        problem = f"is {name!r}, with a space, comma or '='"
    if name in ("workdir", "logdir"):
        problem = f"is {name!r}, which every executable is given anyway"
    if problem or not isinstance(name, str):
        raise PipelineError(
            place.at(place.user_line(), f"the name of an {what} {problem}"),
            hint="a port's name is the option of the executable, without the dashes",
        )
    return name


def _extension(port: str, mime_type: object) -> str:
    if (
        not isinstance(mime_type, str)
        or not mime_type.isprintable()
        or mime_type.startswith(".")
        or "/" in mime_type
        or not mime_type
    ):
        raise PipelineError(
            place.at(place.user_line(), f"mime_type of output '{port}' cannot be {mime_type!r}"),
            hint='mime_type is the extension of the file, without a dot: "xml", "json", "fits"',
        )
    return mime_type


def _flag(what: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise PipelineError(
        place.at(place.user_line(), f"{what} is {value!r}"), hint="it is True or False"
    )


def _words(command: object) -> tuple[str, ...]:
    words: list[str] = []
    if not isinstance(command, str):
        problem = f"must be a text, not {command!r}"
    elif not (problem := argument_problem(command)):
        try:
            words = shlex.split(command)
            problem = "" if words else "is empty"
        except ValueError as error:
            problem = f"cannot be split into words ({error}): {command}"
    if problem:
        raise PipelineError(
            place.at(place.user_line(), f"the command of an Executable {problem}"),
            hint='for example "E-Run PROJECT VERSION NAME", or the name of a program',
        )
    return tuple(words)


def _ports(ports: Any, what: str) -> list[Any]:
    if isinstance(ports, (str, Input, Output)):
        return [ports]
    if ports is None:
        return []
    if not isinstance(ports, (list, tuple)):
        raise PipelineError(
            place.at(place.user_line(), f"{what}= of an Executable must be a list"),
            hint=f'for example {what}=["a", "b"]',
        )
    return list(ports)


def _port(port: Any, kind: type[Any]) -> Any:
    if isinstance(port, kind):
        return port
    if isinstance(port, str):
        return kind(port)
    raise PipelineError(
        place.at(place.user_line(), f"{port!r} among the {kind.__name__.lower()}s"),
        hint=f"use {kind.__name__}(...) or a plain name",
    )


def _resources(resources: object) -> ComputingResources:
    if resources is None:
        return ComputingResources()
    if isinstance(resources, ComputingResources):
        return resources
    raise PipelineError(
        place.at(place.user_line(), f"resources= of an Executable is {resources!r}"),
        hint="use ComputingResources(cores=..., ram=..., walltime=...)",
    )


def _namespaces() -> list[dict[str, object]]:
    """Return the variables of the modules under way: one of them will hold the executable."""
    found: list[dict[str, object]] = []
    for frame in place.user_frames():
        if not any(frame.f_globals is other for other in found):
            found.append(frame.f_globals)
    return found[:5]


def _command_name(words: tuple[str, ...]) -> str:
    launched = words[0] in {"E-Run", "ERun"} and len(words) > 3
    program = os.path.basename(words[3] if launched else words[0])  # noqa: PTH119 - a word
    return program.split(".", maxsplit=1)[0] or "task"
