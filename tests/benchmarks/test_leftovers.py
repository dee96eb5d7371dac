"""What is left when a benchmark is ended or killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.leftovers import all_below

ROOT = Path(__file__).parents[2]


def test_what_a_killed_benchmark_left_is_ended() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as left:
        code = (
            "import os, signal\n"
            "from benchmarks.leftovers import guarded\n"
            f"with guarded('kill -s KILL -- -{left.pid}'):\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        try:
            done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
            assert done.returncode == -signal.SIGKILL
            assert left.wait(60) == -signal.SIGKILL
        finally:
            left.kill()


def test_all_temporary_directories_are_in_one_that_goes(tmp_path: Path) -> None:
    before = tempfile.gettempdir(), os.environ.get("TMPDIR")
    with all_below(tmp_path) as scratch:
        assert scratch.parent == tmp_path
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(scratch)
    assert not list(tmp_path.iterdir())
    assert (tempfile.gettempdir(), os.environ.get("TMPDIR")) == before


def test_sigterm_is_an_end_like_others() -> None:
    code = (
        "import os, signal\n"
        "from benchmarks.leftovers import ending_on_signals\n"
        "try:\n"
        "    with ending_on_signals():\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "finally:\n"
        "    print('cleaned up')\n"
    )
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "cleaned up\n")
