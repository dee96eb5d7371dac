"""Package definitions: executables, ports, resources."""

import pytest

from euclid_dask.core.errors import PipelineError
from euclid_dask.core.ports import InputPort, OutputPort
from euclid_dask.core.resources import Resources
from euclid_dask.dsl import (
    MIME_TXT,
    MIME_XML,
    TYPE_FILE,
    TYPE_LISTFILE,
    ComputingResources,
    Executable,
    Input,
    Output,
    Package,
)


def test_an_executable_has_the_name_of_its_variable():
    assert known_by_variable.name == "known_by_variable"


known_by_variable = Executable("E-Run PROJECT 1.0 PROJECT_Program --methods KSB 'Lens MC'")


def test_the_command_is_split_like_a_shell_does():
    words = ("E-Run", "PROJECT", "1.0", "PROJECT_Program", "--methods", "KSB", "Lens MC")
    assert known_by_variable.spec().command == words


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("E-Run PROJECT 1.0 PROJECT_Program --all", "PROJECT_Program"),
        ("ERun PROJECT 1.0 PROJECT_Program", "PROJECT_Program"),
        ("E-Run PROJECT", "E-Run"),
        ("/opt/bin/correct.py --fast", "correct"),
        ("vis_correct_dark", "vis_correct_dark"),
        (".hidden", "task"),
    ],
)
def test_an_executable_without_a_variable_is_named_after_its_command(command, name):
    assert [Executable(command)][0].name == name


def test_the_command_made_twice_gives_two_executables_by_variable(loaded):
    flow = loaded("""
        small = Executable("remap", inputs=["a"], outputs=["x"])
        large = Executable("remap", inputs=["a"], outputs=["x"])
        @pipeline(outputs=("u", "v"))
        def p(a):
            return small(a=a), large(a=a)
    """).flow
    assert list(flow.executables) == ["small", "large"]
    assert [node.name for node in flow.body.nodes] == ["small", "large"]


def test_executables_of_one_variable_in_two_modules_have_two_keys(loaded, tmp_path):
    for module in "ab":
        (tmp_path / f"def_{module}.py").write_text(
            f"from euclid_dask import Executable\nexe = Executable('{module}', ['a'], ['x'])\n",
            encoding="utf-8",
        )
    flow = loaded("""
        from def_a import exe as first
        from def_b import exe as second
        def local():
            return [Executable("one", ["a"], ["x"])]
        @pipeline(outputs=("u", "v", "w", "z"))
        def p(a):
            return first(a=a), second(a=a), first(a=a), local()[0](a=a)
    """).flow
    assert {key: spec.command for key, spec in flow.executables.items()} == {
        "exe": ("a",),
        "def_b.exe": ("b",),
        "one": ("one",),
    }
    assert [node.name for node in flow.body.nodes] == ["exe_1", "exe_2", "exe_3", "one"]


def test_more_executables_of_one_name_and_module_have_numbered_keys(loaded):
    flow = loaded("""
        programs = [Executable("same", ["a"], ["x"]) for _ in range(4)]
        @pipeline(outputs=("u", "v", "w", "y"))
        def p(a):
            return [program(a=a) for program in programs]
    """).flow
    assert list(flow.executables) == ["same", "script.same", "script.same-2", "script.same-3"]


def test_an_executable_made_by_a_function_of_another_module_has_its_variable(loaded, tmp_path):
    (tmp_path / "factory.py").write_text(
        "from euclid_dask import Executable\ndef make(name):\n"
        "    return Executable('E-Run P 1 ' + name, ['a'], ['x'])\n",
        encoding="utf-8",
    )
    flow = loaded("""
        from factory import make
        mine = make("Program")
        @pipeline(outputs=("u",))
        def p(a):
            return mine(a=a)
    """).flow
    assert list(flow.executables) == ["mine"]


def test_ports_are_objects_or_names_or_one_bare_name():
    spec = Executable("x", ["a", Input("b", "type", TYPE_LISTFILE, optional=True)], "out").spec()
    assert spec.inputs == (
        InputPort(name="a"),
        InputPort(name="b", dm_type="type", content="listfile", optional=True),
    )
    assert spec.outputs == (OutputPort(name="out"),)
    assert Executable("x", None, None).spec().inputs == ()
    assert Executable("x", Input("b"), (Output("c"),)).spec().outputs[0].name == "c"


def test_outputs_keep_their_types():
    port = Executable("x", [], [Output("o", "type", MIME_TXT, TYPE_FILE)]).spec().outputs[0]
    assert port == OutputPort(name="o", dm_type="type", mime_type="txt", content="file")
    assert Output("o").mime_type == MIME_XML


def test_resources_are_cores_gigabytes_and_hours():
    needs = ComputingResources(cores=2, ram=1.5, walltime=0.5, disk=10).needs()
    assert needs == Resources(
        cores=2.0, ram_bytes=1_500_000_000, walltime_s=1800.0, disk_bytes=10_000_000_000
    )
    assert ComputingResources().needs() == Resources()
    assert ComputingResources(0, 0.1, 24).needs().cores == 0.0


def test_things_print_what_they_are():
    shown = [repr(thing) for thing in (Input("a"), Output("b"), ComputingResources(2, 4))]
    assert shown == [
        "Input('a')",
        "Output('b', mime_type='xml')",
        "ComputingResources(cores=2, ram=4, walltime=1, disk=0)",
    ]
    assert repr(known_by_variable) == "<executable known_by_variable>"


def test_a_package_holds_executables():
    assert Package("vis", [known_by_variable]).executables == [known_by_variable]


@pytest.mark.parametrize(
    ("definition", "problem", "hint"),
    [
        ("Executable('x', resource=3)", "no argument 'resource'", "did you mean 'resources'?"),
        ("Executable('x', resources=3)", "resources= of an Executable is 3", "ComputingResources("),
        ("Executable('')", "is empty", "E-Run PROJECT"),
        ("Executable('a \\'b')", "cannot be split into words", "E-Run PROJECT"),
        ("Executable('to\\0ol')", "holds a NUL character", "E-Run PROJECT"),
        ("Executable('to\\ud800ol')", "holds half of a character", "E-Run PROJECT"),
        ("Executable(3)", "must be a text, not 3", "E-Run PROJECT"),
        ("Executable('x', [3])", "3 among the inputs", "use Input(...)"),
        ("Executable('x', [Output('a')])", "among the inputs", "use Input(...)"),
        ("Executable('x', [], [Input('a')])", "among the outputs", "use Output(...)"),
        ("Executable('x', {'a': 1})", "inputs= of an Executable must be a list", '["a", "b"]'),
        ("Input('')", "the name of an Input is empty", "without the dashes"),
        ("Input(3)", "the name of an Input is 3, not a text", "without the dashes"),
        ("Input('a b')", "with a space, comma or '='", "without the dashes"),
        ("Input('workdir')", "which every executable is given anyway", "without the dashes"),
        ("Executable('x', [], ['logdir'])", "is given anyway", "without the dashes"),
        ("Output('a/b')", "the name of an Output contains '/'", "without the dashes"),
        ("Input('a', content='list')", "no argument 'content'", "did you mean 'content_type'?"),
        ("Output('a', mime='xml')", "Output has no argument 'mime'", "did you mean 'mime_type'?"),
        ("Output('a', mime_type='a/b')", "cannot be 'a/b'", "extension of the file"),
        ("Output('a', mime_type='.fits')", "cannot be '.fits'", "without a dot"),
        ("Output('a', mime_type='a\\0')", r"cannot be 'a\x00'", "extension of the file"),
        ("Output('a', mime_type=None)", "cannot be None", "extension of the file"),
        ("Output('a', temporary=1)", "temporary of output 'a' is 1", "True or False"),
        ("ComputingResources(core=1)", "no argument 'core'", "did you mean 'cores'?"),
        ("ComputingResources(cores='2')", "cores must be a number, not '2'", "number of cores"),
        ("ComputingResources(ram=True)", "ram must be a number, not True", "ram is GB"),
        ("ComputingResources(ram=-1)", "ram cannot be -1", "ram is GB"),
        ("ComputingResources(walltime=0)", "walltime cannot be 0", "walltime is hours"),
        ("ComputingResources(disk=float('inf'))", "disk cannot be inf", "disk is GB"),
    ],
)
def test_a_wrong_definition_is_refused_with_line_and_hint(refused, definition, problem, hint):
    line, error = refused(f"\n\nthing = {definition}")
    assert line == 1
    assert problem in error.message
    assert hint in error.hint


def test_a_mime_type_of_an_input_is_a_warning(loaded):
    pipeline = loaded("""
        exe = Executable("x", [Input("a", mime_type="xml")], ["x"])
        @pipeline("u")
        def p(a):
            return exe(a=a)
    """)
    assert pipeline.warnings[0].endswith("script.py:7: mime_type of input 'a' has no meaning")


def test_an_output_says_whether_it_is_temporary(loaded):
    pipeline = loaded("""
        exe = Executable("x", ["a"], [Output("u", temporary=True), Output("v")])
        @pipeline(("u", "v"))
        def p(a):
            return exe(a=a)
    """)
    (spec,) = pipeline.flow.executables.values()
    assert [(port.name, port.temporary) for port in spec.outputs] == [("u", True), ("v", False)]


def test_outside_of_a_load_a_warning_is_one_of_python():
    with pytest.warns(UserWarning, match="mime_type of input 'a' has no meaning"):
        Input("a", mime_type="xml")


def test_outside_of_a_load_an_error_names_the_line_of_the_caller():
    with pytest.raises(PipelineError, match=r"test_definitions\.py:\d+: the command"):
        Executable("")
