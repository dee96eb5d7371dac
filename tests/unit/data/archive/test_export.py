"""What is told to the archive in its own XML."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from euclid_dask.core.errors import InputError
from euclid_dask.data.archive.export import DistributionOrder, distribution_xml, locations_xml
from euclid_dask.data.model import Access, Checksum, File
from euclid_dask.data.resolve import Location

SAMPLE = Path(__file__).parents[3] / "data/products/eas_dss__DDO.xml"
FILE = File(
    name="a.fits",
    size=3,
    checksums=(
        Checksum(algorithm="md5", value="0" * 32),
        Checksum(algorithm="xxh3", value="1" * 32),
    ),
)


def _location(root: str, path: str) -> Location:
    return Location(access=Access(storage="s", zone="z", root=root), path=path)


def test_a_location_is_told_in_parts() -> None:
    places = [_location("sftp://sub/data/x", "raw 7/a.fits"), _location("davs://ch:8443/d", "a")]
    root = ET.fromstring(locations_xml([(FILE, places)], "SDC-CH"))

    (container,) = root
    assert container.findtext("Filename") == "a.fits"
    (checksum,) = container.findall("CheckSum")
    assert (checksum.get("method"), checksum.text) == ("MD5", "0" * 32)
    first, second = container.findall("Location")
    assert first.findtext("URL") == "sftp://sub/data/x/raw%207/a.fits"
    assert first.findtext("Path") == "raw 7/a.fits"
    told = [[one.text for one in place.find("StorageNode") or ()] for place in (first, second)]
    assert told == [
        ["sftp", "sub", "22", "/data/x", "SDC-CH"],
        ["https", "ch", "8443", "/d", "SDC-CH"],
    ]


def test_a_file_in_a_file_store_is_told_by_its_name() -> None:
    places = [_location("dss://store:443", "e0/a.fits")]
    root = ET.fromstring(locations_xml([(FILE, places)], "SDC-CH"))

    assert [one.text for one in root.iter("URL")] == ["https://store:443/a.fits"]


def test_a_scheme_that_the_schema_does_not_know_is_refused() -> None:
    with pytest.raises(InputError, match="knows no s3://"):
        locations_xml([(FILE, [_location("s3://bucket/x", "a.fits")])], "SDC-CH")


def test_an_order_looks_like_that_of_the_archive() -> None:
    order = DistributionOrder(order_id="DDO-1", target_sdc="SDC-CH", names=("a.fits",))
    ours, sample = ET.fromstring(distribution_xml(order)), ET.parse(SAMPLE).getroot()

    assert ours.tag == sample.tag
    assert [one.tag for one in ours.iter()] == [one.tag for one in sample.iter()]


def test_an_order_names_each_file_once() -> None:
    order = DistributionOrder(order_id="1", target_sdc="X", names=("a.fits", "b.fits", "a.fits"))
    root = ET.fromstring(distribution_xml(order))

    assert [one.text for one in root.iter("DataFileName")] == ["a.fits", "b.fits"]


@pytest.mark.parametrize("names", [(), ("../a",)])
def test_an_order_without_good_names_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        distribution_xml(DistributionOrder(order_id="1", target_sdc="X", names=names))
