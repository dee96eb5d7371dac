"""Package definitions are patched in place: numbers change, and nothing else does."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euclid_dask.core.resources import GB, Resources
from euclid_dask.dsl import ComputingResources
from euclid_dask.dsl.load import load_executables
from euclid_dask.dsl.patch import Change, patched, unified

HEAD = "from euclid_dask import ComputingResources, Executable\n"


def needs(cores: float = 1, ram: float = 1, walltime: float = 1) -> Resources:
    return ComputingResources(cores=cores, ram=ram, walltime=walltime).needs()


def change(name: str, line: int, asked: Resources, wanted: Resources) -> Change:
    return Change(name, line, asked, wanted)


def one(text: str, wanted: Resources, asked: Resources | None = None) -> str:
    """Return a definition of `a`, on the second line, after it was changed."""
    result = patched((HEAD + text).encode(), [change("a", 2, asked or needs(), wanted)])
    assert result.refused == {}
    return result.source.decode().removeprefix(HEAD)


def why(text: str, wanted: Resources, asked: Resources | None = None) -> str:
    source = (HEAD + text).encode()
    result = patched(source, [change("a", 2, asked or needs(), wanted)])
    assert result.source == source
    return result.refused["a"]


def test_numbers_change_and_comments_and_layout_stay() -> None:
    before = (
        'a = Executable("a",   # the first\n'
        "    resources = ComputingResources(cores = 1,  # one\n"
        "        ram=1.0, walltime=1 ,  # GB, hours\n"
        "    ),\n)\n"
    )
    assert one(before, needs(2, 0.35, 0.5)) == (
        'a = Executable("a",   # the first\n'
        "    resources = ComputingResources(cores = 2,  # one\n"
        "        ram=0.35, walltime=0.5 ,  # GB, hours\n"
        "    ),\n)\n"
    )


def test_numbers_that_are_not_named_change_by_their_places() -> None:
    before = 'a = Executable("a", (), (), ComputingResources(4, 8.0))\n'
    after = 'a = Executable("a", (), (), ComputingResources(2, 3.5, walltime=0.5))\n'
    assert one(before, needs(2, 3.5, 0.5), needs(4, 8)) == after


def test_what_is_not_written_is_added() -> None:
    before = 'a = Executable("a", resources=ComputingResources())\n'
    after = 'a = Executable("a", resources=ComputingResources(cores=2, ram=0.5))\n'
    assert one(before, needs(2, 0.5)) == after


def test_what_is_as_it_should_be_is_not_written() -> None:
    text = 'a = Executable("a", resources=ComputingResources(cores=1.0, ram=2))\n'
    assert one(text, needs(1, 2), needs(1, 2)) == text


def test_characters_of_several_bytes_and_foreign_line_ends_stay() -> None:
    before = 'a = Executable("é€", resources=ComputingResources(ram=1.0))  # µ\r\nb = "é"\r\n'
    after = 'a = Executable("é€", resources=ComputingResources(ram=0.5))  # µ\r\nb = "é"\r\n'
    assert one(before, needs(ram=0.5)) == after


def test_a_byte_order_mark_stays() -> None:
    text = b'\xef\xbb\xbfa = Executable("a", resources=ComputingResources(ram=1))\n'
    result = patched(text, [change("a", 1, needs(), needs(ram=3))])
    assert result.source == text.replace(b"ram=1", b"ram=3")


def test_an_alias_is_the_same_class() -> None:
    text = (
        b"from euclid_dask import ComputingResources as CR; import euclidwf as w\n"
        b'a = Executable("a", resources=CR(ram=1))\n'
        b'b = Executable("b", resources=w.ComputingResources(ram=1))\n'
    )
    changes = [change("a", 2, needs(), needs(ram=2)), change("b", 3, needs(), needs(ram=2))]
    assert patched(text, changes).source == text.replace(b"ram=1", b"ram=2")


SHARED = (
    "small = ComputingResources(cores=1, ram=1)\n"
    'a = Executable("a", resources=small)\n'
    'b = Executable("b", resources=small)\n'
)


def test_what_is_shared_gets_the_largest() -> None:
    changes = [
        change("a", 2, needs(), needs(ram=0.2)),
        change("b", 3, needs(), needs(ram=0.5, cores=2)),
    ]
    result = patched(SHARED.encode(), changes)
    assert result.source.decode() == SHARED.replace("cores=1, ram=1", "cores=2, ram=0.5")


def test_what_others_share_of_which_nothing_is_known_never_gets_less() -> None:
    source = SHARED.encode()
    less = patched(source, [change("a", 2, needs(), needs(ram=0.2))])
    assert less.source == source
    assert "shares its resources" in less.refused["a"]
    more = patched(source, [change("a", 2, needs(), needs(ram=4))])
    assert more.source.decode() == SHARED.replace("ram=1", "ram=4")


TWICE = "small = ComputingResources()\nif late:\n    small = of(small)\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = make(1)\n", "not written as ComputingResources"),
        ('a = Executable("a")\n', "add resources=ComputingResources(cores=1, ram=2, walltime=1)"),
        ('a = Executable("a", resources=ComputingResources(ram=2 * 1))\n', "ram is computed"),
        ('a = Executable("a", resources=ComputingResources(**given))\n', "is computed"),
        ('a = Executable("a", resources=ComputingResources(*given))\n', "is computed"),
        ('a = Executable("a", resources=small)\n', "'small' is not set once"),
        (f'a = Executable("a", resources=small)\n{TWICE}', "'small' is not set once"),
        ('a = Executable("a", resources=ComputingResources(ram=7))\n', "the file has changed"),
        ('b = Executable("a", resources=ComputingResources())\n', "there is no 'a = ...(...)'"),
        ("a = (\n", "cannot be read"),
        ('a = Executable("a", resources=ComputingResources(ram=(1)))\n', "by hand"),
    ],
)
def test_what_cannot_be_changed_is_told(text: str, reason: str) -> None:
    if reason.startswith("not written"):
        text = 'a = Executable("a", resources=of("a"))\n'
    wanted = needs(walltime=2) if reason == "by hand" else needs(ram=2)
    assert reason in why(text, wanted)


def test_one_that_cannot_be_changed_costs_no_other() -> None:
    text = (
        HEAD + 'a = Executable("a", resources=ComputingResources(ram=1))\nb = Executable("b")\n'
    ).encode()
    changes = [change("a", 2, needs(), needs(ram=2)), change("b", 3, needs(), needs(ram=2))]
    result = patched(text, changes)
    assert result.source == text.replace(b"ram=1", b"ram=2")
    assert list(result.refused) == ["b"]


amounts = st.fixed_dictionaries(
    {},
    optional={
        "cores": st.integers(1, 64),
        "ram": st.integers(1, 999).map(lambda n: n / 10),
        "walltime": st.integers(1, 999).map(lambda n: n / 100),
    },
)
layouts = st.sampled_from([", ", ",\n    ", ",  # why\n    "])


@given(st.lists(st.tuples(amounts, amounts, layouts), min_size=1, max_size=5))
def test_a_patched_definition_asks_for_what_was_wanted(
    rows: list[tuple[dict[str, float], dict[str, float], str]],
) -> None:
    text, changes = HEAD, []
    for number, (now, then, comma) in enumerate(rows):
        given = comma.join(f"{name}={value}" for name, value in now.items())
        asked = ComputingResources(**now).needs()  # type: ignore[arg-type]
        wanted = ComputingResources(**{**now, **then}).needs()  # type: ignore[arg-type]
        changes.append(change(f"e{number}", text.count("\n") + 1, asked, wanted))
        text += f'e{number} = Executable("x", resources=ComputingResources({given}))\n'
    result = patched(text.encode(), changes)
    assert result.refused == {}
    space: dict[str, object] = {}
    exec(result.source, space)
    for number, one_change in enumerate(changes):
        found = space[f"e{number}"].resources.needs()  # type: ignore[attr-defined]
        assert found.cores == one_change.wanted.cores
        assert found.ram_bytes == one_change.wanted.ram_bytes
        assert found.walltime_s == pytest.approx(one_change.wanted.walltime_s)


@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_patch_program_makes_the_same_file(tmp_path: Path, line_end: str, end: str) -> None:
    lines = [HEAD.strip(), *(f"# {i}" for i in range(9)), "\x0c# page"]
    lines += ['a = Executable("a", resources=ComputingResources(ram=1))', "# end é"]
    before = line_end.join(lines).encode() + (line_end if end else "").encode()
    wanted = Resources(ram_bytes=GB // 2)
    result = patched(before, [change("a", 12, needs(), wanted)])
    assert result.refused == {}
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub/defs.py"
    file.write_bytes(before)
    patch = unified("sub/defs.py", before, result.source)
    subprocess.run(["patch", "-p1", "--binary"], cwd=tmp_path, input=patch, check=True)
    assert file.read_bytes() == result.source
    assert load_executables(tmp_path / "sub")["a"].resources.ram == 0.5
