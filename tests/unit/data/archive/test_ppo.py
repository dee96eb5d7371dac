"""Processing orders: what they say, and how their status is written."""

from pathlib import Path

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.data.archive.ppo import ProductRef, isf_text, read_order, write_status

ORDER = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- written by hand -->
<sys:PipelineProcessingOrder xmlns:sys="http://euclid.esa.org/schema/interfaces/sys/tsk">
  <Id>VIS-TEST-ME-PLAN-1-PPO-2</Id>
  <ProcessingStatus>ALLOCATED</ProcessingStatus>
  <EndDate></EndDate>
  <Group>kept as it is</Group>
  <PipelineDefinition>
    <PipelineScriptName>/cvmfs/euclid/vis/PipScript_VIS.py</PipelineScriptName>
    <EdenVersion>Eden-2.1</EdenVersion>
    <InputDataPlan>
      <DataProductType>DpdVisRawFrame</DataProductType>
      <InputQuerySpecPlan type="SQLLike">
        <Id>q1</Id><Query>Data.TileIndex==90346&amp;&amp;Header.Purpose!="TEST"</Query>
      </InputQuerySpecPlan>
      <InputPortName>frames</InputPortName>
      <Cardinality><Optionality>MANDATORY</Optionality><Min>1</Min><Max>100</Max></Cardinality>
    </InputDataPlan>
    <InputDataPlan>
      <DataProductType>DpdVisMasterDark</DataProductType>
      <InputQuerySpecPlan><Query>Header.X=1</Query></InputQuerySpecPlan>
      <InputPortName>dark</InputPortName>
    </InputDataPlan>
    <InputDataPlan>
      <DataProductType>DpdConfig</DataProductType>
      <InputPortName>config</InputPortName>
      <Cardinality><Optionality>OPTIONAL</Optionality><Min>0</Min><Max>1</Max></Cardinality>
    </InputDataPlan>
  </PipelineDefinition>
  <InputProducts>
    <PortProductsRefSet>
      <PortName>dark</PortName>
      <ProductRef><ProductId>D-7</ProductId></ProductRef>
    </PortProductsRefSet>
  </InputProducts>
</sys:PipelineProcessingOrder>
"""


@pytest.fixture
def order(tmp_path: Path) -> Path:
    """An order with a port by query, one by product, and one that is optional."""
    path = tmp_path / "ppo.xml"
    path.write_text(ORDER.replace("<ProductId>D-7", "<ProductType>DpdVisMasterDark</ProductType>"
                                  "<ProductId>D-7"))  # fmt: skip
    return path


def test_an_order_says_what_to_run_on_what(order: Path) -> None:
    found = read_order(order)

    assert found.order_id == "VIS-TEST-ME-PLAN-1-PPO-2"
    assert found.is_startable
    assert found.script == "/cvmfs/euclid/vis/PipScript_VIS.py"
    assert found.eden_version == "Eden-2.1"
    frames, dark, config = found.ports
    assert (frames.name, frames.type, frames.is_list) == ("frames", "DpdVisRawFrame", True)
    assert frames.query == 'Data.TileIndex==90346&&Header.Purpose!="TEST"'
    assert dark.products == (ProductRef(type="DpdVisMasterDark", product_id="D-7"),)
    assert not dark.is_list
    assert config.optional
    assert config.is_list


@pytest.mark.parametrize(("found", "wanted"), [(0, "1 to 100"), (101, "1 to 100")])
def test_a_count_that_may_not_be_is_refused(order: Path, found: int, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        read_order(order).ports[0].refuse_count(found)


def test_the_status_is_written_and_all_else_stays(order: Path, tmp_path: Path) -> None:
    before = order.read_bytes()
    write_status(order, tmp_path / "out.xml", "COMPLETED", 0.0)

    after = read_order(tmp_path / "out.xml")
    assert after.status == "COMPLETED"
    assert not after.is_startable
    text = (tmp_path / "out.xml").read_text()
    assert "<EndDate>1970-01-01T00:00:00.000Z</EndDate>" in text
    assert "<Group>kept as it is</Group>" in text
    assert order.read_bytes() == before


def test_orders_of_2014_have_other_words(tmp_path: Path) -> None:
    path = tmp_path / "old.xml"
    path.write_text("<sdcProcessingOrder><Id>1</Id><ProcessingState>NEW</ProcessingState>"
                    "</sdcProcessingOrder>")  # fmt: skip

    found = read_order(path)
    assert found.is_startable
    assert (found.stage.running, found.stage.done) == ("RUNNING", "TERMINATED")


def test_a_data_file_says_the_same_to_run(order: Path) -> None:
    files = {"frames": "frames.json", "config": None}

    assert isf_text(read_order(order), files, Path("/w")).splitlines()[1:] == [
        "workdir=/w",
        "edenVersion=Eden-2.1",
        "pipelineDir=/cvmfs/euclid/vis",
        "frames=frames.json",
        "config=None",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<Id>VIS-TEST-ME-PLAN-1-PPO-2</Id>", "", "this is no processing order"),
        ("ProcessingStatus>", "Status>", "this is no processing order"),
        ("<Max>100", "<Max>lots", "'lots' is no number of products"),
        ("MANDATORY", "PERHAPS", "neither OPTIONAL nor MANDATORY"),
        ("<Query>Data", "<Other>Data", "is not well-formed"),
        ("<?xml version", "<!DOCTYPE a><x version", "DOCTYPE"),
        (ORDER, "<html><body>log in</body></html>", "is an HTML page"),
        (ORDER, "", "is empty"),
    ],
)
def test_what_is_no_order_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "ppo.xml"
    path.write_text(ORDER.replace(old, new))

    with pytest.raises(InputError, match=message):
        read_order(path)
