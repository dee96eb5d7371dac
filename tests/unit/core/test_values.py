"""Values, ports and errors."""

import pytest

from euclid_dask.core.attempts import Receipt
from euclid_dask.core.errors import EuclidDaskError, InputError, JournalError, SiteError
from euclid_dask.core.events import RunEvent, RunOptions, TasksOrdered
from euclid_dask.core.ids import PilotId, TaskId
from euclid_dask.core.ports import ExecutableSpec, InputPort, OutputPort
from euclid_dask.core.resources import Resources
from euclid_dask.core.values import json_reader, replace, to_json


def test_a_value_is_read_back_as_it_was_written() -> None:
    receipt = Receipt(task=TaskId("a.b"), attempt=2, command=("x", "--y=ü"))
    assert json_reader(Receipt)(to_json(receipt)) == receipt


def test_an_event_carries_its_name_and_leaves_out_defaults() -> None:
    event = TasksOrdered(at_s=1.5, pilot=PilotId("p"), tasks=((TaskId("a"), 1),))
    assert to_json(event) == (b'{"event":"TasksOrdered","at_s":1.5,"pilot":"p","tasks":[["a",1]]}')


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid value 'Nonsense'"):
        json_reader(RunEvent)(b'{"event":"Nonsense","at_s":1.0}')  # type: ignore[arg-type]


def test_a_value_of_a_wrong_type_is_refused_with_its_place() -> None:
    with pytest.raises(ValueError, match=r"\$\.cores"):
        json_reader(Resources)(b'{"cores":"many"}')


def test_replace_returns_a_copy_with_changes() -> None:
    before = RunOptions(policy="fifo", science_retries=1)
    assert replace(before, science_retries=2) == RunOptions(policy="fifo", science_retries=2)
    assert before.science_retries == 1


@pytest.mark.parametrize(("content", "is_list"), [("listfile", True), ("list", True), ("x", False)])
def test_a_port_is_a_list_by_its_content_type(content: str, is_list: bool) -> None:
    assert InputPort(name="a", content=content).is_list is is_list
    assert OutputPort(name="a", content=content).is_list is is_list


def test_an_output_port_is_found_by_name() -> None:
    ports = (OutputPort(name="a"), OutputPort(name="b", mime_type="fits"))
    spec = ExecutableSpec(name="x", command=("x",), outputs=ports)
    assert spec.output("b").mime_type == "fits"
    with pytest.raises(KeyError):
        spec.output("c")


def test_a_hint_stands_below_the_message() -> None:
    assert str(InputError("no file", hint="give one")) == "no file\n  hint: give one"
    assert str(InputError("no file")) == "no file"


def test_the_branch_of_an_error_says_who_can_mend_it() -> None:
    assert issubclass(JournalError, SiteError)
    assert issubclass(SiteError, EuclidDaskError)
