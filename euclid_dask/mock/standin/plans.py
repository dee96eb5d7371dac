"""What a stand-in is told: how to behave, and which of the executables it is."""

Settings = dict[str, object]
Plans = dict[str, Settings]


class RefusedError(Exception):
    """The stand-in cannot go on: what is wrong, as a sentence."""


class OutputPlan:
    """What to write for one output or input port.

    `depth` is 0 for a file, 1 for a list of files, 2 for a list of lists. `kind` is the extension
    of the file, or of the files in the lists.
    """

    __slots__ = ("depth", "dm_type", "items", "kind", "size")

    def __init__(
        self, kind: str = "xml", depth: int = 0, dm_type: str = "", items: int = 3, size: int = 0
    ) -> None:
        self.kind = kind
        self.depth = depth
        self.dm_type = dm_type
        self.items = items
        self.size = size


class ProgramPlan:
    """How one executable behaves: what `mock.toml` says, in seconds, cores and bytes."""

    def __init__(  # noqa: PLR0913  a record that imports nothing
        self,
        *,
        name: str,
        command: tuple[str, ...] = (),
        tasks: tuple[str, ...] = (),
        inputs: tuple[str, ...] = (),
        texts: tuple[str, ...] = (),
        outputs: dict[str, Settings],
        seed: int = 0,
        duration: tuple[float, float] = (0.0, 0.0),
        cpu: float = 0.0,
        cores: float = 1.0,
        ram: int = 0,
        io: int = 0,
        failure_rate: float = 0.0,
        failure: str = "exit",
        failing_attempts: int = 0,
    ) -> None:
        self.name = name
        self.command = command
        self.tasks = tasks
        self.inputs = inputs
        self.texts = texts
        self.outputs = {port: OutputPlan(**plan) for port, plan in outputs.items()}  # type: ignore[arg-type]
        self.seed = seed
        self.duration = duration
        self.cpu = cpu
        self.cores = cores
        self.ram = ram
        self.io = io
        self.failure_rate = failure_rate
        self.failure = failure
        self.failing_attempts = failing_attempts


def matching(plans: Plans, words: list[str]) -> list[Settings]:
    """Return the plans whose command is the beginning of `words`, the longest commands only."""
    if len(words) > 1 and words[1].startswith("--mock-executable="):
        plan = plans.get(words[1].partition("=")[2])
        return [plan] if plan else []
    found: list[Settings] = []
    longest = 0
    for plan in plans.values():
        command: tuple[str, ...] = plan["command"]  # type: ignore[assignment]
        length = len(command)
        if length >= longest and tuple(words[:length]) == command:
            found = [*found, plan] if length == longest else [plan]
            longest = length
    return found or [plan for plan in plans.values() if plan["name"] == words[0]]


def parse_options(words: list[str]) -> dict[str, str]:
    """Return the options of a command line: `--name=value` and `--name value`."""
    options: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            options[name] = value
            name = "" if equals else name
        elif name:
            options[name] = word
            name = ""
    return options


def prefix_length(plan: ProgramPlan, words: list[str]) -> int:
    """Return how many of the words are the command itself, not options."""
    length = len(plan.command)
    return length if tuple(words[:length]) == plan.command else 1


def plan_of_task(found: list[Settings], options: dict[str, str], task: str) -> ProgramPlan:
    """Return the one of several executables of one command that has this task, or these ports."""
    template = ".".join(
        "*" if before == "iterations" and part.isdigit() else part
        for before, part in zip(["", *task.split(".")], task.split("."), strict=False)
    )
    plans = [ProgramPlan(**plan) for plan in found]  # type: ignore[arg-type]
    for plan in plans:
        if template in plan.tasks:
            return plan
    for plan in plans:
        if all(port in options for port in plan.outputs):
            return plan
    return plans[0]
