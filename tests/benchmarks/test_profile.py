"""How samples of the profiler are counted."""

from benchmarks.profile import rooms, shown
from benchmarks.workloads import GENERATORS

STACKS = """\
main (/x/euclid_dask/cli/app.py:1);step (/x/euclid_dask/runner/loop.py:2);fsync (os.py:3) 6
main (/x/euclid_dask/cli/app.py:1);step (/x/euclid_dask/runner/loop.py:2) 1
_find_and_load (<frozen importlib._bootstrap>:1);<module> (/x/euclid_dask/cli/app.py:9) 2
run (threading.py:1);Condition.wait (threading.py:2) 50
run (threading.py:1);_bootstrap (threading.py:2) 1
""".splitlines()


def test_the_innermost_room_counts_and_what_waits_does_not():
    found = rooms(STACKS)
    assert {name: room.samples for name, room in found.items()} == {
        "runner/loop": 7,
        "imports": 2,
        "Python's own": 1,
    }
    assert found["runner/loop"].calls == {"fsync": 6, "step": 1}


def test_the_table_says_the_share_of_all_samples():
    text = shown(GENERATORS["bag"](scale=0.01, seed=1), rooms(STACKS), most=2)
    assert "`bag`, 10 tasks, 10 samples at work" in text
    assert "| `runner/loop` | 70% | `fsync` 60%, `step` 10% |" in text
    assert "Python's own" not in text
