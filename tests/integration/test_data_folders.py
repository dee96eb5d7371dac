"""Files and products between folders and storages, by commands."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from centres import Centre

PRODUCT = """\
<p:DpdVisRawFrame xmlns:p="http://ecdm.euclid-ec.org/schema/dpd/vis/rawframe">
  <Header>
    <ProductId>frame-{number}</ProductId><DataSetRelease>{release}</DataSetRelease>
  </Header>
  <Data>
    <DataStorage format="vis.raw" version="0.1">
      <DataContainer filestatus="PROPOSED"><FileName>frame-{number}.fits</FileName></DataContainer>
    </DataStorage>
  </Data>
</p:DpdVisRawFrame>
"""


def product(centre: Centre, number: int, content: bytes, release: str = "R1") -> Path:
    """Write a product and its file to the folder `made`."""
    made = centre.made
    (made / "data").mkdir(parents=True, exist_ok=True)
    (made / "data" / f"frame-{number}.fits").write_bytes(content)
    path = made / f"frame-{number}.xml"
    path.write_text(PRODUCT.format(number=number, release=release))
    return path


@pytest.fixture
def centre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Centre:
    """Return a centre of two storages, and a folder of two products."""
    monkeypatch.setenv("EUCLID_DASK_REGISTRY", str(tmp_path / "r.sqlite"))
    monkeypatch.chdir(tmp_path)
    found = Centre(tmp_path)
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        found.told("storage", "add", name, f"file://{tmp_path / name}")
    product(found, 1, b"1" * 1000)
    product(found, 2, b"2" * 2000)
    return found


def test_what_is_put_is_registered_found_and_brought_back(centre: Centre) -> None:
    would = centre.told("put", "made", "--to", "A", "--dry-run")
    assert (would["files"], would["state"]) == (4, "ok")
    assert centre.files("A") == []
    done = centre.told("put", "made", "--to", "A")
    assert (len(done["copied"]), sorted(done["products"])) == (4, ["frame-1", "frame-2"])
    again = centre.told("put", "made", "--to", "A")
    assert (again.get("copied", []), len(again["kept"])) == ([], 4)
    assert len(centre.told("find", "DpdVisRawFrame")["products"]) == 2
    dry = centre.told("get", "frame-1", "--to", "w", "--dry-run")
    assert [one["place"] for one in dry["wanted"]] == ["data/frame-1.fits", "frame-1.xml"]
    assert not Path("w").exists()
    got = centre.told("get", "frame-1", "--to", "w")
    assert [one["how"] for one in got["files"]] == ["copied", "copied"]
    assert Path("w/data/frame-1.fits").read_bytes() == b"1" * 1000
    assert Path("w/frame-1.xml").read_bytes() == (centre.made / "frame-1.xml").read_bytes()
    kept = centre.told("get", "frame-1.xml", "--to", "w")["files"]
    assert [one["how"] for one in kept] == ["kept", "kept"]
    assert centre.told("fsck")["state"] == "ok"


def test_products_of_a_query_are_brought_and_single_files(centre: Centre) -> None:
    product(centre, 3, b"3", release="R2")
    centre.told("put", "made", "--to", "A")
    got = centre.told("get", "--query", "Header.DataSetRelease == R2", "frame-2.fits", "--to", "w")
    assert sorted(one["name"] for one in got["files"]) == [
        "frame-2.fits",
        "frame-3.fits",
        "frame-3.xml",
    ]
    only = centre.told("get", "--query", "DpdVisRawFrame", "--only-xml", "--to", "x")["files"]
    assert sorted(one["name"] for one in only) == ["frame-1.xml", "frame-2.xml", "frame-3.xml"]
    assert not Path("x/data").exists()


def test_a_replica_that_is_wrong_is_passed_over_and_told(centre: Centre) -> None:
    centre.told("put", "made", "--to", "A")
    centre.told("replicate", "frame-1.fits", "--to", "B")
    (bad,) = (centre.folder / "A").rglob("frame-1.fits")
    bad.chmod(0o644)
    bad.write_bytes(b"x" * 1000)
    done = centre.call("get", "frame-1.fits", "--to", "w")
    assert done.exit_code == 0, done.output
    assert Path("w/data/frame-1.fits").read_bytes() == b"1" * 1000
    assert "A" in done.stderr
    assert "adler32" in done.stderr


def test_xml_does_not_come_without_its_files(centre: Centre) -> None:
    centre.told("put", "made", "--to", "A")
    (gone,) = (centre.folder / "A").rglob("frame-1.fits")
    gone.unlink()
    got = centre.told("get", "frame-1", "frame-2", "--to", "w", code=1)
    assert sorted(got["missed"]) == ["frame-1.fits", "frame-1.xml"]
    assert sorted(one["name"] for one in got["files"]) == ["frame-2.fits", "frame-2.xml"]
    assert centre.files("w") == ["frame-2.fits", "frame-2.xml"]


def test_bad_words_are_refused(centre: Centre) -> None:
    centre.told("put", "made", "--to", "A")
    Path("A/own.txt").write_text("x")
    Path("a b.txt").write_text("x")
    for words, told in (
        (("get",), "give names, or --query"),
        (("get", "none"), "the registry knows no file or product none"),
        (("get", "--query", "DpdNone"), "no product fulfils DpdNone"),
        (("get", "frame-1", "--zone", "far"), "the zone far reads no replica of frame-1.fits"),
        (("put", "made", "--to", "Z"), "there is no storage"),
        (("put", "none", "--to", "A"), "none: there is no such file"),
        (("put", "A/own.txt", "--to", "A"), "`ingest` registers it there"),
        (("put", "a b.txt", "--to", "A"), "its name has a blank"),
        (("put", "made", "--to", "A", "--zone", "far"), "the zone far does not write to A"),
    ):
        assert told in centre.refused(*words), words


def test_a_name_never_gets_other_content_and_nothing_of_it_stays(centre: Centre) -> None:
    centre.told("put", "made", "--to", "A")
    product(centre, 1, b"other")
    told = centre.refused("put", "made/data/frame-1.fits", "--to", "B")
    assert "the name is taken by a file of 1000 bytes" in told
    product(centre, 1, b"y" * 1000)
    done = centre.told("put", "made", "--to", "B", code=1)
    assert sorted(done["refused"]) == ["frame-1.fits", "frame-1.xml"]
    assert "adler32" in done["refused"]["frame-1.fits"]
    assert done["products"] == ["frame-2"]
    assert centre.files("B") == ["frame-2.fits", "frame-2.xml"]
    assert (
        "is not the file of this name"
        in (centre.told("put", "made", "--to", "A", code=1)["refused"]["frame-1.fits"])
    )


def test_what_a_product_declares_wrongly_is_not_put(centre: Centre) -> None:
    product = centre.made / "frame-1.xml"
    wrong = 'filestatus="PROPOSED" checksumMethod="MD5" checksumValue="' + "0" * 32 + '"'
    product.write_text(product.read_text().replace('filestatus="PROPOSED"', wrong))
    done = centre.told("put", "made", "--to", "A", code=1)
    assert sorted(done["refused"]) == ["frame-1.fits", "frame-1.xml"]
    assert centre.files("A") == ["frame-2.fits", "frame-2.xml"]


def test_of_a_product_with_a_wrong_file_the_others_are_registered(centre: Centre) -> None:
    product = centre.made / "frame-1.xml"
    wrong = (
        '<DataContainer filestatus="PROPOSED" checksumMethod="MD5" checksumValue="'
        + "0" * 32
        + '"><FileName>more.fits</FileName></DataContainer></DataStorage>'
    )
    product.write_text(product.read_text().replace("</DataStorage>", wrong))
    (centre.made / "data" / "more.fits").write_bytes(b"more")
    done = centre.told("put", "made/frame-1.xml", "--to", "A", code=1)
    assert done["copied"] == ["frame-1.fits"]
    assert sorted(done["refused"]) == ["frame-1.xml", "more.fits"]
    assert centre.files("A") == ["frame-1.fits"]
    assert centre.told("fsck")["state"] == "ok"


def test_a_product_that_is_known_with_other_content_keeps_its_files_registered(
    centre: Centre,
) -> None:
    centre.told("put", "made", "--to", "A")
    other = centre.made / "other.xml"
    text = PRODUCT.format(number=1, release="R9").replace("frame-1.fits", "new.fits")
    other.write_text(text)
    (centre.made / "data" / "new.fits").write_bytes(b"new")
    done = centre.told("put", "made/other.xml", "--to", "A", code=1)
    assert "known with other content" in done["refused"]["other.xml"]
    assert "other.xml" not in centre.files("A")
    (place,) = centre.told("locate", "new.fits")["files"]
    assert len(place["replicas"]) == 1
    assert centre.told("fsck")["state"] == "ok"


def test_nothing_is_put_on_a_wrong_disk(centre: Centre) -> None:
    (centre.folder / "A" / ".eufas-storage").write_text("another\n")
    done = centre.told("put", "made", "--to", "A", code=1)
    assert len(done["refused"]) == 4
    assert centre.files("A") == []


def test_a_put_that_was_cut_off_before_it_was_registered_is_completed(centre: Centre) -> None:
    centre.told("put", "made", "--to", "B")
    for path in sorted((centre.folder / "B").rglob("frame-*")):
        copy = centre.folder / "A" / path.relative_to(centre.folder / "B")
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    done = centre.told("put", "made", "--to", "A")
    assert len(done["copied"]) == 4
    assert centre.told("fsck")["state"] == "ok"


def test_rules_see_what_is_put(centre: Centre) -> None:
    centre.told("rule", "add", "r", "--name", "*.fits", "--places", "name=B")
    centre.told("put", "made", "--to", "A")
    queued = centre.told("transfers")["transfers"]
    assert sorted(one["transfer"]["file"] for one in queued) == ["frame-1.fits", "frame-2.fits"]


def test_a_get_that_is_killed_goes_on(centre: Centre) -> None:
    content = os.urandom(1 << 20) * 64
    product(centre, 1, content)
    centre.told("put", "made", "--to", "A")
    words = [sys.executable, "-m", "euclid_dask", "get", "frame-1", "--to", "w"]
    part = Path("w/data/.frame-1.fits.part-get")
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 100
    while running.poll() is None and time.monotonic() < until:
        if part.exists() and part.stat().st_size:
            running.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    running.wait()
    got = centre.told("get", "frame-1", "--to", "w")
    assert Path("w/data/frame-1.fits").read_bytes() == content
    (one,) = [it for it in got["files"] if it["name"] == "frame-1.fits"]
    assert one["how"] in {"resumed", "kept"}
    assert centre.files("w") == ["frame-1.fits", "frame-1.xml"]
