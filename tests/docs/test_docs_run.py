"""What the documentation shows is what happens: files are written, commands run, outputs compared.

A page is run from top to bottom in a folder of its own. A `code-block` with a caption is a file of
that name; a `console` block holds commands after "$ " and what they print; a `python` block with
">>> " is a doctest. `...` in a stated output stands for anything; run ids, times and sizes may
differ. A command without stated output must succeed. A block after a line "% not run" is left out.
The how-to guides begin where the tutorial ends.
"""

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
HOME = "/home/me"
FENCE = re.compile(r"^(% not run\n+)?(`{3,})([^\n`]*)\n(.*?)^\2$", re.MULTILINE | re.DOTALL)
CAPTION = re.compile(r"^:caption: (\S+)$", re.MULTILINE)
VOLATILE = (
    (re.compile(r"\d{8}T\d{6}\.\d{3}-[0-9a-f]{4}"), "RUN"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( UTC)?"), "MOMENT"),
    (re.compile(r"\b[\d.]+ (B|kB|MB|GB)\b"), "SIZE"),
    (re.compile(r"(\b\d+ min )?\b[\d.]+ s\b"), "TIME"),
    (re.compile(r'"\w+_s": [\d.]+'), "TIME"),
    (re.compile(r"process \d+ on \S+"), "PROCESS"),
)
ENDED = "euclid-dask-docs-ended"
OWN_TUTORIAL = {"howto/clean-up.md"}
"""Guides that look at when files were changed, which a copy does not keep."""
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob("howto/*.md"))


@dataclass
class Command:
    """A command of a page, and what the page says that it prints."""

    text: str
    stated: list[str] = field(default_factory=list)


@dataclass
class PageFile:
    """A file that a page tells the reader to write."""

    name: str
    content: str


def steps(page: str) -> Iterator[Command | PageFile]:
    """Yield the files and commands of a page, in order."""
    for not_run, _, info, body in FENCE.findall((DOCS / page).read_text()):
        if not_run:
            continue
        if info.strip() == "console":
            yield from commands(body)
        elif info.startswith("{code-block}") and (caption := CAPTION.search(body)):
            content = re.sub(r"\A(:[^\n]*\n)+\n?", "", body)
            yield PageFile(caption[1], content)


def commands(block: str) -> Iterator[Command]:
    """Yield the commands of a console block."""
    command: Command | None = None
    for line in block.splitlines():
        if line.startswith("$ "):
            if command is not None:
                yield command
            command = Command(line[2:])
        elif command is not None and line.startswith("> "):
            command.text += "\n" + line[2:]
        elif command is not None:
            command.stated.append(line)
    if command is not None:
        yield command


def run(page: str, folder: Path) -> list[tuple[Command, str, int]]:
    """Run a page in one shell; return its commands with output and exit code."""
    done: list[Command] = []
    script = ["exec 2>&1"]
    for number, step in enumerate(steps(page)):
        if isinstance(step, PageFile):
            kept = folder.parent / f"{folder.name}.{number}"
            kept.write_text(step.content)
            script.append(f"mkdir -p $(dirname {step.name}); cat {kept} > {step.name}")
        else:
            done.append(step)
            script += [step.text, f"echo; echo {ENDED} $?"]
    environment = os.environ | {
        "PATH": f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder.parent),
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    shell = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=250,
    )
    text = shell.stdout.replace(str(folder.parent), HOME)
    parts = re.split(rf"\n?\n{ENDED} (\d+)\n", "\n" + text)
    return [
        (command, output.strip("\n"), int(code))
        for command, output, code in zip(done, parts[0::2], parts[1::2], strict=False)
    ]


def differences(ran: list[tuple[Command, str, int]]) -> list[str]:
    """Return what is not as the page says."""
    checker, found = doctest.OutputChecker(), []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for command, output, code in ran:
        stated = "\n".join(command.stated).strip("\n")
        if not stated and code:
            found.append(f"$ {command.text}\nexit code {code}:\n{output}")
        elif stated and not checker.check_output(steady(stated), steady(output), flags):
            found.append(f"$ {command.text}\n-- stated\n{stated}\n-- printed\n{output}")
    return found


def steady(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, word in VOLATILE:
        text = pattern.sub(word, text)
    return text + "\n"


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder in which the tutorial was run, and what was not as it says."""
    folder = tmp_path_factory.mktemp("home") / "stars"
    folder.mkdir()
    ran = run("tutorial.md", folder)
    count = sum(isinstance(step, Command) for step in steps("tutorial.md"))
    assert len(ran) == count, "a command ended the shell"
    shutil.copytree(folder, folder.with_name("kept"), symlinks=True)
    return folder, differences(ran)


@pytest.mark.slow
def test_the_tutorial_says_what_happens(tutorial: tuple[Path, list[str]]) -> None:
    assert not tutorial[1], "\n\n".join(tutorial[1])


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_guide_says_what_happens(
    page: str, tutorial: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = tutorial
    shutil.rmtree(folder)
    if page in OWN_TUTORIAL:
        folder.mkdir()
        run("tutorial.md", folder)
    else:
        shutil.copytree(folder.with_name("kept"), folder, symlinks=True)
    found = differences(run(page, folder))
    assert not found, "\n\n".join(found)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{folder}/bin{os.pathsep}{os.environ['PATH']}")
    assert doctests_of(page) == []


def doctests_of(page: str) -> list[str]:
    """Run the doctests of a page; return what is not as it says."""
    blocks = FENCE.findall((DOCS / page).read_text())
    text = "\n".join(body for not_run, _, info, body in blocks if "python" in info and not not_run)
    test = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    told: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    doctest.DocTestRunner(optionflags=flags, verbose=False).run(test, out=told.append)
    return told
