import errno
import json
import os
import re
import textwrap
from pathlib import Path

import pytest
from click.testing import Result

from euclid_dask.cli.app import COMMANDS
from euclid_dask.cli.exits import guarded
from euclid_dask.core.errors import InputError, InternalError, StoppedError

pytestmark = pytest.mark.usefixtures("script")


def run(cli, source: str = "good.txt", *words: str) -> Result:
    options = ("--workdir", "w", "--executor", "inline")
    return cli("run", "pipeline.py", f"text={source}", *options, *words)


def runs_of(workdir: Path) -> list[str]:
    return sorted(path.parent.name for path in workdir.glob(".euclid-dask/*/journal.jsonl"))


# ---- help, completion, words


def test_help_names_every_command_and_the_exit_codes(cli) -> None:
    text = cli("--help").output
    assert [name for name in COMMANDS if f"  {name} " not in text] == []
    assert "2 refused" in text


def test_no_words_are_a_question_and_no_mistake(cli) -> None:
    found = cli()
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout == cli("--help").stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_by_example(cli, name: str) -> None:
    found = cli(name, "--help")
    assert found.exit_code == 0
    assert f"euclid-dask {name}" in found.output.split("Options:")[1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_for_our_command(cli, shell: str) -> None:
    found = cli("completion", shell)
    assert found.exit_code == 0
    assert "_EUCLID_DASK_COMPLETE" in found.output


def test_a_misspelt_command_is_corrected(cli) -> None:
    found = cli("chekc")
    assert found.exit_code == 2
    assert "there is no command 'chekc'; did you mean 'check'?" in found.stderr


def test_a_wrong_option_with_json_is_an_object(cli) -> None:
    found = cli("run", "pipeline.py", "--json", "--polcy", "fifo")
    assert found.exit_code == 2
    told = json.loads(found.stdout)
    assert told["state"] == "refused"
    assert "--polcy" in told["error"]["message"]


# ---- check


def test_check_draws_the_pipeline_and_writes_nothing(cli, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    found = cli("check", "pipeline.py", "text=good.txt")
    assert found.exit_code == 0
    assert "final(source=first.copy)" in found.stdout
    assert "2 inputs, 2 tasks of 2 executables, 1 output" in found.stdout
    assert [p for p in sorted(tmp_path.rglob("*")) if "__pycache__" not in p.parts] == before


def test_check_prints_command_lines(cli) -> None:
    found = cli("check", "pipeline.py", "--commands", "text=good.txt")
    assert "--source=good.txt --copy=first/copy.txt" in found.stdout


def test_check_names_the_port_that_was_meant(cli) -> None:
    found = cli("check", "pipeline.py", "txt=good.txt")
    assert found.exit_code == 2
    assert "the pipeline has no input 'txt'" in found.stderr
    assert "did you mean 'text'?" in found.stderr


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_port_that_is_not_is_found_in_the_data_file(cli, tmp_path: Path, command: str) -> None:
    (tmp_path / "field.isf").write_text("# of field 7\ntxt=good.txt\n")
    found = cli(command, "pipeline.py", "--isf", "field.isf", "text=good.txt")
    assert found.exit_code == 2
    assert f"{tmp_path}/field.isf:2: the pipeline has no input 'txt'" in found.stderr


def test_check_refuses_a_task_that_fits_nowhere(cli) -> None:
    found = cli("check", "pipeline.py", "--ram", "100MB")
    assert found.exit_code == 2
    assert "asks for 0.5 GB of RAM, there are 0.1" in found.stderr


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_task_that_needs_more_disk_than_is_free_is_refused(
    cli, script: Path, command: str
) -> None:
    script.write_text(script.read_text().replace("walltime=0.1)", "walltime=0.1, disk=1e9)"))
    found = cli(command, "pipeline.py", "text=good.txt", "--workdir", "not/yet")
    assert found.exit_code == 2
    assert re.search(r"asks for 1e\+09 GB of disk, there are [0-9.]+ at the workdir", found.stderr)
    assert "or run it in a workdir with more room" in found.stderr


def test_check_describes_the_pipeline_to_programs(cli) -> None:
    told = json.loads(cli("check", "pipeline.py", "--json").stdout)
    assert told["state"] == "ok"
    assert [task["task"] for task in told["tasks"]] == ["first", "final"]
    assert told["inputs"] == [
        {"port": "text", "optional": False, "file": None},
        {"port": "extra", "optional": True, "file": None},
    ]
    assert told["outputs"] == ["result"]


def test_a_mistake_in_the_script_is_told_with_its_line(cli, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("from euclid_dask import pipeline\nnonsense = 1 /\n")
    found = cli("check", "wrong.py")
    assert found.exit_code == 2
    assert "wrong.py:2" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("text", "'text' is not of the form PORT=FILE"),
        ("=x", "'=x' is not of the form PORT=FILE"),
    ],
)
def test_a_word_that_is_no_port_is_refused(cli, word: str, message: str) -> None:
    found = cli("check", "pipeline.py", word)
    assert found.exit_code == 2
    assert message in found.stderr


def test_a_port_given_twice_is_refused(cli) -> None:
    found = cli("check", "pipeline.py", "text=a", "text=b")
    assert "text is given twice: a and b" in found.stderr


def test_a_size_that_is_none_is_refused(cli) -> None:
    found = cli("check", "pipeline.py", "--ram", "much")
    assert found.exit_code == 2
    assert "not a size: 'much'" in found.stderr


# ---- run, status, report, show


def test_a_run_tells_its_outputs(cli, tmp_path: Path) -> None:
    found = run(cli)
    assert found.exit_code == 0
    assert str(tmp_path / "w/final/copy.txt") in found.stdout
    assert (tmp_path / "w/final/copy.txt").read_text() == "good\n"


def test_a_run_tells_notices_as_notices(cli, script: Path) -> None:
    text = script.read_text()
    script.write_text(text.replace("    return ", "    first(source=text)\n    return "))
    found = run(cli)
    assert found.exit_code == 0
    assert re.search("^notice: .*nothing uses the output copy", found.stdout, re.MULTILINE)
    assert found.stdout.count("warning: ") == 1


def test_json_is_the_only_thing_on_stdout(cli) -> None:
    told = json.loads(run(cli, "good.txt", "--json").stdout)
    wall_s, name = told.pop("wall_s"), told.pop("run")
    assert wall_s >= 0
    assert name.startswith("copies-")
    assert told == {
        "state": "done",
        "tasks": {"total": 2, "done": 2, "failed": 0, "blocked": 0, "skipped": 0, "omitted": 0},
        "outputs": {"result": "final/copy.txt"},
        "failures": [],
        "warnings": told["warnings"],
    }


def test_a_failed_run_exits_with_1_and_tells_why(cli, tmp_path: Path) -> None:
    found = run(cli, "bad.txt")
    assert found.exit_code == 1
    assert "task 'final' ended with exit code 3" in found.stdout
    assert "| the source is bad" in found.stdout
    assert f"cd {tmp_path / 'w'} && " in found.stdout


def test_a_failure_is_told_to_programs(cli) -> None:
    told = json.loads(run(cli, "bad.txt", "--json").stdout)
    assert told["state"] == "failed"
    [failure] = told["failures"]
    assert failure["task"] == "final"
    assert failure["exit_code"] == 3
    assert failure["log"] == "logs/final/stderr.log"
    assert "--source=first/copy.txt" in failure["command"]


def test_missing_inputs_are_refused_before_anything_runs(cli, tmp_path: Path) -> None:
    found = run(cli, "nowhere.txt", "--json")
    assert found.exit_code == 2
    assert "text: nowhere.txt" in json.loads(found.stdout)["error"]["message"]
    assert not (tmp_path / "w/first").exists()


def test_an_empty_workdir_is_refused(cli, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    found = cli("run", "pipeline.py", "text=good.txt", "--workdir", "")
    assert (found.exit_code, sorted(tmp_path.rglob("*"))) == (2, before)
    assert "the workdir is the empty text" in found.stderr


def test_the_command_line_wins_over_the_data_file(cli, tmp_path: Path) -> None:
    (tmp_path / "a.isf").write_text("text=bad.txt\nextra=None\n")
    assert run(cli, "good.txt", "--isf", "a.isf").exit_code == 0


def test_a_second_run_does_nothing_again(cli) -> None:
    run(cli)
    told = json.loads(run(cli, "good.txt", "--json").stdout)
    assert told["tasks"]["skipped"] == 2


def test_fresh_does_everything_again(cli) -> None:
    run(cli)
    told = json.loads(run(cli, "good.txt", "--json", "--fresh").stdout)
    assert told["tasks"]["done"] == 2


def test_only_what_was_asked_for_runs(cli) -> None:
    told = json.loads(run(cli, "good.txt", "--json", "--until", "first").stdout)
    assert told["tasks"]["total"] == 1


def test_a_given_file_stands_for_an_output(cli, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w/mine.txt").write_text("mine\n")
    found = run(cli, "good.txt", "--from", "final", "--given", "first.copy=mine.txt")
    assert found.exit_code == 0
    assert (tmp_path / "w/final/copy.txt").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("first.copy=none.txt", "none.txt: there is no such file in"),
        ("first.copy=good.txt", "good.txt: there is no such file in"),
        ("first=good.txt", "--given first: there is no port in it"),
        ("first.copy", "'first.copy' is not of the form TASK.PORT=FILE"),
    ],
)
def test_a_given_file_must_be_there(cli, word: str, message: str) -> None:
    found = run(cli, "good.txt", "--from", "final", "--given", word)
    assert found.exit_code == 2
    assert message in found.stderr


def test_an_unknown_executor_is_refused(cli) -> None:
    found = cli("run", "pipeline.py", "text=good.txt", "--executor", "cloud")
    assert found.exit_code == 2
    assert "there is no executor 'cloud'" in found.stderr


def test_progress_goes_to_stderr_and_can_be_silenced(cli) -> None:
    assert "runs in" in run(cli, "good.txt", "--json").stderr
    assert run(cli, "good.txt", "--json", "--quiet").stderr == ""


def test_status_tells_how_a_run_ended(cli) -> None:
    run(cli, "bad.txt")
    text = cli("status", "w").stdout
    assert ": failed" in text
    assert "2 tasks: 1 done, 1 failed" in text
    assert json.loads(cli("status", "w", "--json").stdout)["runner"] == ""


def test_status_of_a_folder_without_runs_is_refused(cli) -> None:
    found = cli("status")
    assert found.exit_code == 2
    assert "no run was started in" in found.stderr


def test_report_writes_a_page(cli, tmp_path: Path) -> None:
    run(cli, "bad.txt")
    found = cli("report", "w", "--html", "page.html")
    assert found.exit_code == 0
    assert "the source is bad" in (tmp_path / "page.html").read_text()
    assert "executable" in found.stdout


def test_a_report_shows_the_executables_with_the_most_time_and_counts_the_others(
    cli, script
) -> None:
    script.with_name("many.py").write_text(
        textwrap.dedent(
            f"""\
            from euclid_dask import Executable, Output, pipeline

            COPY = Output("copy", mime_type="txt")
            program = "{script.with_name("copy.sh")}"
            copies = [Executable(program, ["source"], [COPY]) for _ in range(33)]


            @pipeline(outputs=[f"copy{{number}}" for number in range(33)])
            def many(text):
                return [copy(source=text) for copy in copies]
            """
        )
    )
    ran = cli("run", "many.py", "text=good.txt", "--workdir", "w", "--executor", "inline")
    assert ran.exit_code == 0, ran.output
    told = cli("report", "w").stdout
    resources, times = told.partition("resources:")[2].split("where time went")
    assert "and 3 more" in resources
    assert len(re.findall(r"^  \S*copy", resources, re.MULTILINE)) == 30
    assert "and 4 more" in times  # one row is of all together


def test_a_report_that_cannot_be_written_is_one_sentence(cli) -> None:
    run(cli)
    found = cli("report", "w", "--html", "nowhere/page.html")
    assert found.exit_code == 2
    assert "No such file or directory" in found.stderr


def test_report_gives_profiles_to_programs(cli) -> None:
    run(cli)
    told = json.loads(cli("report", "w", "--json").stdout)
    assert [row["task"] for row in told["profile"]] == ["first", "final"]


def test_show_tells_everything_of_a_task(cli) -> None:
    run(cli, "bad.txt")
    text = cli("show", "w", "final").stdout
    assert "final: failed" in text
    assert "EUCLID_DASK_TASK=final" in text
    assert "first/copy.txt (4 B, made by first)" in text
    assert "copy  final/copy.txt (not there)" in text
    assert "attempt 1: failed (exit)" in text
    assert "| the source is bad" in text


def test_show_gives_a_task_to_programs(cli) -> None:
    run(cli)
    told = json.loads(cli("show", "w", "first", "--json").stdout)
    assert told["outputs"] == [
        {
            "port": "copy",
            "path": "first/copy.txt",
            "size": 5,
            "made_by": "",
            "is_text": False,
            "is_gone": False,
        }
    ]
    assert told["attempts"][0]["outcome"] == "done"


def test_a_misspelt_task_is_corrected(cli) -> None:
    run(cli)
    found = cli("show", "w", "finl")
    assert found.exit_code == 2
    assert "has no task 'finl'" in found.stderr
    assert "did you mean 'final'?" in found.stderr


def test_a_moved_workdir_still_tells_its_logs(cli, tmp_path: Path) -> None:
    run(cli, "bad.txt")
    (tmp_path / "w").rename(tmp_path / "moved")
    assert "| the source is bad" in cli("report", "moved").stdout


# ---- resume, rerun


def test_resume_goes_on_with_a_run_that_failed(cli, tmp_path: Path) -> None:
    run(cli, "bad.txt")
    program = tmp_path / "copy.sh"
    old = program.stat()
    program.write_text(program.read_text().replace("grep -q bad", "grep -q worse"))
    os.utime(program, ns=(old.st_atime_ns, old.st_mtime_ns))
    found = cli("resume", "w", "--json", "--executor", "inline")
    assert json.loads(found.stdout)["state"] == "done"
    assert found.exit_code == 0


def test_resume_of_a_run_that_is_done_says_so(cli) -> None:
    run(cli)
    found = cli("resume", "w", "--executor", "inline")
    assert found.exit_code == 0
    assert "is done already" in found.stdout


def test_resume_of_an_unknown_run_is_refused(cli, tmp_path: Path) -> None:
    run(cli)
    found = cli("resume", "w", "nothing")
    assert found.exit_code == 2
    assert "is called 'nothing'" in found.stderr
    assert runs_of(tmp_path / "w")[0] in found.stderr


def test_rerun_does_a_task_again_and_what_depends_on_it(cli) -> None:
    run(cli)
    last = json.loads(cli("rerun", "w", "final", "--json", "--executor", "inline").stdout)
    assert (last["tasks"]["done"], last["tasks"]["skipped"]) == (1, 1)
    both = json.loads(cli("rerun", "w", "first", "--json", "--executor", "inline").stdout)
    assert (both["tasks"]["done"], both["tasks"]["skipped"]) == (2, 0)


def test_rerun_says_that_it_was_asked_for(cli) -> None:
    run(cli)
    text = cli("rerun", "w", "first", "--executor", "inline").stdout
    assert "2 tasks known from an earlier run ran again: you asked for it" in text


def test_what_a_changed_input_does_is_told(cli, tmp_path: Path) -> None:
    run(cli)
    (tmp_path / "good.txt").write_text("better\n")
    text = run(cli).stdout
    assert "ran again: changed: input source" in text


# ---- graph


def test_graph_of_a_script_is_text_svg_or_mermaid(cli, tmp_path: Path) -> None:
    assert "final(source=first.copy)" in cli("graph", "pipeline.py").stdout
    assert cli("graph", "pipeline.py", "--mermaid").stdout.startswith("flowchart")
    cli("graph", "pipeline.py", "--svg", "g.svg")
    assert (tmp_path / "g.svg").read_text().startswith("<svg")


def test_graph_of_a_workdir_shows_states(cli) -> None:
    run(cli, "bad.txt")
    assert (
        cli("graph", "w", "--svg", "-").stdout != cli("graph", "pipeline.py", "--svg", "-").stdout
    )


# ---- clean


def test_clean_removes_what_tasks_made_and_nothing_else(cli, tmp_path: Path) -> None:
    run(cli)
    (tmp_path / "w/first/note.txt").write_text("mine")
    (tmp_path / "w/data/own.fits").write_text("mine")
    found = cli("clean", "w", "--yes")
    assert found.exit_code == 0
    assert "1 file will stay, as no task left it so" in found.stdout
    left = sorted(str(p.relative_to(tmp_path / "w")) for p in (tmp_path / "w").rglob("*"))
    assert left == ["data", "data/own.fits", "first", "first/note.txt", "good.txt"]
    assert (tmp_path / "good.txt").read_text() == "good\n"


def test_clean_can_keep_the_outputs(cli, tmp_path: Path) -> None:
    run(cli)
    cli("clean", "w", "--yes", "--keep", "outputs")
    assert (tmp_path / "w/final/copy.txt").is_file()
    assert not (tmp_path / "w/first").exists()


def test_a_dry_run_of_clean_only_tells(cli, tmp_path: Path) -> None:
    run(cli)
    before = sorted((tmp_path / "w").rglob("*"))
    text = cli("clean", "w", "--dry-run").stdout
    assert f"would remove {tmp_path / 'w/final/copy.txt'}" in text
    assert sorted((tmp_path / "w").rglob("*")) == before


def test_clean_asks_nobody_without_a_terminal(cli, tmp_path: Path) -> None:
    run(cli)
    found = cli("clean", "w")
    assert found.exit_code == 2
    assert "add --yes" in found.stderr
    assert (tmp_path / "w/final/copy.txt").is_file()


def test_a_page_that_cannot_be_written_is_named(cli) -> None:
    run(cli)
    found = cli("report", "w", "--html", "no/such/r.html")
    assert found.exit_code == 2
    assert found.stderr == "error: no/such/r.html: No such file or directory\n"


# ---- the outermost door


@pytest.mark.parametrize(
    "words",
    [
        ("run", "pipeline.py", "text=\udcff.txt", "--workdir", "w"),
        ("run", "pipeline.py", "text=good.txt", "--workdir", "w\udcff"),
        ("check", "\udcff.py"),
    ],
)
def test_a_name_that_is_not_utf_8_is_refused(cli, tmp_path: Path, words: tuple[str, ...]) -> None:
    before = set(tmp_path.iterdir())
    found = cli(*words)
    assert found.exit_code == 2
    assert "\\udcff" in found.stderr
    assert "this name is not UTF-8\n  hint: rename it" in found.stderr
    assert set(tmp_path.iterdir()) == before


def test_a_current_folder_that_is_not_utf_8_is_refused(cli, tmp_path: Path, monkeypatch) -> None:
    odd = tmp_path / "odd\udcff"
    odd.mkdir()
    monkeypatch.chdir(odd)
    found = cli("run", "../pipeline.py", "text=../good.txt")
    assert (found.exit_code, list(odd.iterdir())) == (2, [])
    assert "odd\\udcff: this name is not UTF-8" in found.stderr


def test_a_current_folder_that_was_removed_is_one_sentence(
    cli, tmp_path: Path, monkeypatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    found = cli("status")
    monkeypatch.chdir(tmp_path)
    assert found.exit_code == 2
    assert "the current folder was removed" in found.stderr


def test_a_mistake_of_ours_is_told_whatever_the_words(
    capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("sys.argv", ["euclid-dask", "\udcff"])
    assert guarded(bug, []) == 70
    assert "a mistake of euclid-dask" in capsys.readouterr().err


def full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/w/journal.jsonl")


def stopped() -> None:
    raise StoppedError("the run was stopped, since the disk is full", hint="free some space")


def wrong_input() -> None:
    raise InputError("no such file", hint="give another")


def bug() -> None:
    raise ZeroDivisionError("division by zero")


def internal() -> None:
    raise InternalError("a state cannot follow")


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (full, 2, "the disk is full (/w/journal.jsonl)"),
        (full, 2, "free some space, and call it again"),
        (stopped, 1, "the run was stopped, since the disk is full"),
        (wrong_input, 2, "hint: give another"),
        (interrupted, 130, "interrupted"),
    ],
)
def test_an_ending_by_exception_is_one_message_and_one_code(
    capsys: pytest.CaptureFixture[str], command, code: int, said: str
) -> None:
    assert guarded(command, []) == code
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


@pytest.mark.parametrize("command", [bug, internal])
def test_a_mistake_of_ours_is_one_sentence_that_names_the_details(
    capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path: Path, command
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert guarded(command, []) == 70
    told = capsys.readouterr().err
    assert "a mistake of euclid-dask" in told
    [details] = tmp_path.glob("euclid-dask-error-*.txt")
    assert str(details) in told
    assert "Traceback" in details.read_text()


def test_errors_are_objects_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(wrong_input, ["--json"])
    assert json.loads(capsys.readouterr().out) == {
        "state": "refused",
        "error": {"message": "no such file", "hint": "give another"},
    }
    guarded(stopped, ["--json"])
    assert json.loads(capsys.readouterr().out)["state"] == "failed"
