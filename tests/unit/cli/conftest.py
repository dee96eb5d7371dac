"""A small pipeline of real programs, and a way to call the command line in this process."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from euclid_dask.cli.app import app

Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a function that calls the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def called(*words: str, text: str | None = None) -> Result:
        return CliRunner().invoke(app, words, input=text)

    return called


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A pipeline of two tasks; the second fails if the text of its input is `bad`."""
    program = tmp_path / "copy.sh"
    program.write_text(
        textwrap.dedent(
            """\
            #!/bin/sh
            for word in "$@"; do
              case $word in
                --source=*) source=${word#*=} ;;
                --copy=*) copy=${word#*=} ;;
                --final) final=1 ;;
              esac
            done
            if [ -n "$final" ] && grep -q bad "$source"; then
              echo "the source is bad" >&2
              exit 3
            fi
            cat "$source" > "$copy"
            """
        )
    )
    program.chmod(0o755)
    path = tmp_path / "pipeline.py"
    path.write_text(
        textwrap.dedent(
            f"""\
            from euclid_dask import ComputingResources, Executable, Output, pipeline

            NEEDS = ComputingResources(cores=0.5, ram=0.5, walltime=0.1)
            first = Executable("{program}", inputs=["source"],
                outputs=[Output("copy", mime_type="txt")], resources=NEEDS)
            final = Executable("{program} --final", inputs=["source"],
                outputs=[Output("copy", mime_type="txt")], resources=NEEDS)

            @pipeline(outputs=("result",))
            def copies(text, extra=None):
                return final(source=first(source=text))
            """
        )
    )
    (tmp_path / "good.txt").write_text("good\n")
    (tmp_path / "bad.txt").write_text("bad\n")
    return path
