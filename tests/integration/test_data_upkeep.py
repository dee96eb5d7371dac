"""Keeping storages in order by commands: rules, movers, removal, checks, and why."""

from pathlib import Path
from typing import Any

import pytest
from centres import Centre

from euclid_dask.data.model import ErrorClass

CONTENT = b"pixels" * 100


@pytest.fixture
def centre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Centre:
    """Return a centre of two storages on disk and one on tape, with two files in the first."""
    monkeypatch.setenv("EUCLID_DASK_REGISTRY", str(tmp_path / "r.sqlite"))
    found = Centre(tmp_path)
    for name in ("A", "B", "T"):
        (tmp_path / name).mkdir()
        tier = "tape" if name == "T" else "disk"
        found.told("storage", "add", name, f"file://{tmp_path / name}", "--label", f"tier={tier}")
    for number in (1, 2):
        (tmp_path / "A" / f"EUC_{number}.fits").write_bytes(CONTENT)
    found.told("ingest", str(tmp_path / "A"))
    return found


def rule(centre: Centre, *words: str) -> dict[str, Any]:
    return centre.told("rule", "add", "tape", "--name", "*.fits", "--places", "tier=tape", *words)


def test_what_a_rule_wants_is_queued_and_a_mover_brings_it(centre: Centre) -> None:
    assert rule(centre, "--dry-run")["missing"] == 2
    assert centre.told("rule", "list")["rules"] == []
    assert rule(centre)["missing"] == 2
    queued = centre.told("transfers")
    assert sorted(one["transfer"]["file"] for one in queued["transfers"]) == [
        "EUC_1.fits",
        "EUC_2.fits",
    ]
    would = centre.told("move", "--dry-run")
    assert ([one["missing"] for one in would["ruled"]], len(would["transfers"])) == ([2], 2)
    assert "copy EUC_1.fits to T" in centre.call("move", "--dry-run").stdout
    turn = centre.told("move", "--once")
    assert turn["drained"]["done"] == 2
    assert centre.places("EUC_1.fits") == {"A": "available", "T": "available"}
    assert centre.told("transfers")["counts"] == {}
    assert centre.told("transfers", "--all")["counts"] == {"done": 2}
    shown = centre.told("rule", "show", "tape")
    assert (shown["targets"], shown["stuck"]) == (2, {})


def test_a_mover_applies_rules_to_files_that_came_without_one(centre: Centre) -> None:
    rule(centre)
    centre.told("move", "--once")
    (centre.folder / "A" / "EUC_3.fits").write_bytes(CONTENT)
    centre.told("ingest", str(centre.folder / "A"))
    assert centre.told("move", "--once", "--no-rules")["drained"]["done"] == 1
    assert centre.told("rule", "end", "tape", "--dry-run")["released"] == 3
    centre.told("rule", "end", "tape")
    assert centre.told("rule", "list")["rules"] == []
    assert "has ended" in centre.refused("rule", "add", "tape", "--name", "*", "--places", "*")


def test_a_quota_is_kept_by_all_that_copy_and_why_tells_of_it(centre: Centre) -> None:
    centre.told("storage", "edit", "T", "--quota", "1kB")
    told = centre.told("storage", "show", "T")
    assert told["quota"] == {"limit_bytes": 1000, "there_bytes": 0, "coming_bytes": 0}
    tape = ("rule", "add", "tape", "--name", "*.fits", "--places", "tier=tape")
    (stuck,) = centre.told(*tape, code=1)["stuck"]
    assert (len(stuck["files"]), "too little room" in stuck["reason"]) == (1, True)
    assert centre.told("move", "--once")["drained"]["done"] == 1
    assert (
        "quota: 1 kB; 600 B are there, 0 B on their way"
        in centre.call("storage", "show", "T").stdout
    )
    (left,) = (name for name in ("EUC_1.fits", "EUC_2.fits") if "T" not in centre.places(name))
    assert "too little room" in centre.call("why", left).stdout
    assert "400 bytes are free: 600 bytes more" in centre.refused("replicate", left, "--to", "T")
    (centre.folder / "new.fits").write_bytes(CONTENT)
    put = ("put", str(centre.folder / "new.fits"), "--to", "T")
    assert "400 bytes are free: 600 bytes more" in centre.refused(*put)
    assert "not a size" in centre.refused("storage", "edit", "T", "--quota", "much")
    centre.told("storage", "edit", "T", "--quota", "none")
    assert centre.told("move", "--once")["drained"]["done"] == 1
    assert centre.told("put", str(centre.folder / "new.fits"), "--to", "T")["copied"]


def test_a_rule_that_cannot_be_met_says_why(centre: Centre) -> None:
    words = ("rule", "add", "far", "--name", "*.fits", "--places", "country=IT")
    told = centre.told(*words, code=1)
    assert "no storage has such labels" in told["stuck"][0]["reason"]
    assert "no storage has such labels" in centre.call("rule", "show", "far").stdout
    assert "far is stuck" in centre.call("why", "EUC_1.fits").stdout


BAD: list[tuple[tuple[str, ...], str]] = [
    (("rule", "add", "r", "--places", "*"), "give --query, or --name"),
    (("rule", "add", "r", "--name", "*", "--places", "tier=="), "tier"),
    (("rule", "show", "none"), "there is no rule"),
    (("rm", "EUC_1.fits"), "say --from STORAGE"),
    (("rm", "EUC_9.fits", "--from", "A"), "the registry knows no file EUC_9.fits"),
    (("rm", "EUC_1.fits", "--from", "B"), "it is in: A"),
    (("rm", "EUC_1.fits", "--from", "Z"), "there is no storage"),
    (("fsck", "Z"), "there is no storage"),
    (("why", "EUC_9.fits"), "the registry knows no file EUC_9.fits"),
    (("why", "EUC_1.fits", "--in", "Z"), "there are: A, B, T"),
    (("transfers", "--cancel"), "--cancel needs names"),
    (("transfers", "--cancel", "--retry"), "contradict each other"),
]


def test_bad_words_are_refused(centre: Centre) -> None:
    for words, told in BAD:
        assert told in centre.refused(*words), words


def test_the_last_copy_stays_until_it_is_said_that_it_may_go(centre: Centre) -> None:
    told = centre.told("rm", "EUC_1.fits", "--from", "A", code=1)["replicas"]
    assert [(one["state"], one["reason"]) for one in told] == [
        ("kept", "no other good replica is in a durable storage")
    ]
    assert (centre.folder / "A" / "EUC_1.fits").exists()
    (kept,) = centre.told("rm", "EUC_1.fits", "--last-copy", code=1)["replicas"]
    assert kept["reason"].startswith("it was registered where it lay")
    may_go = ("rm", "EUC_1.fits", "--last-copy", "--adopted")
    (would,) = centre.told(*may_go, "--dry-run")["replicas"]
    assert (would["state"], would["storage"]) == ("free", "A")
    assert (centre.folder / "A" / "EUC_1.fits").exists()
    (gone,) = centre.told(*may_go, "--reason", "warm")["replicas"]
    assert gone["state"] == "removed"
    assert not (centre.folder / "A" / "EUC_1.fits").exists()
    told_why = centre.call("why", "EUC_1.fits").stdout
    assert "deleted" in told_why
    assert "removal is done (warm)" in told_why


def test_a_copy_that_is_wanted_stays_and_another_goes(centre: Centre) -> None:
    rule(centre)
    centre.told("move", "--once")
    centre.told("replicate", "EUC_1.fits", "--to", "B")
    words = ("rm", "EUC_1.fits", "--from", "T", "--from", "B")
    found = {one["storage"]: one for one in centre.told(*words, code=1)["replicas"]}
    assert (found["T"]["state"], found["T"]["reason"]) == ("kept", "rule tape wants it there")
    assert found["B"]["state"] == "removed"
    assert centre.places("EUC_1.fits") == {"A": "available", "T": "available"}


def test_of_two_copies_that_are_to_go_one_stays(centre: Centre) -> None:
    centre.told("replicate", "EUC_1.fits", "--to", "B")
    words = ("rm", "EUC_1.fits", "--from", "A", "--from", "B", "--adopted")
    states = sorted(one["state"] for one in centre.told(*words, code=1)["replicas"])
    assert states == ["kept", "removed"]


def test_what_a_grace_holds_waits_for_a_mover(centre: Centre) -> None:
    centre.told("replicate", "EUC_1.fits", "--to", "B")
    words = ("rm", "EUC_1.fits", "--from", "B", "--grace", "3600")
    (one,) = centre.told(*words)["replicas"]
    assert one["state"] == "waiting"
    assert centre.told("move", "--once")["cleaned"].get("removed", 0) == 0


def test_nothing_is_removed_from_a_wrong_disk(centre: Centre) -> None:
    centre.told("replicate", "EUC_1.fits", "--to", "B")
    (centre.folder / "B" / ".eufas-storage").write_text("another\n")
    (one,) = centre.told("rm", "EUC_1.fits", "--from", "B")["replicas"]
    assert one["state"] == "waiting"
    assert "is marked as 'another'" in one["reason"]


def test_a_check_finds_what_is_lost_dark_and_changed_and_a_second_one_confirms(
    centre: Centre,
) -> None:
    assert centre.call("fsck").exit_code == 0
    a = centre.folder / "A"
    (a / "EUC_1.fits").unlink()
    (a / "EUC_2.fits").write_bytes(b"other!" * 100)
    (a / "dark.fits").write_bytes(b"x")

    def found(*words: str) -> dict[str, tuple[str, str]]:
        (report,) = centre.told("fsck", "A", *words, code=1)["storages"]
        return {one["path"]: (one["what"], one.get("done", "")) for one in report["findings"]}

    dry = {
        "EUC_1.fits": ("lost", ""),
        "EUC_2.fits": ("changed", ""),
        "dark.fits": ("dark", ""),
    }
    assert found("--dry-run") == dry
    assert found()["EUC_1.fits"] == ("lost", "suspect")
    assert centre.places("EUC_2.fits") == {"A": "suspect"}
    assert found("--confirm")["EUC_2.fits"] == ("changed", "bad")
    assert centre.places("EUC_1.fits") == {"A": "lost"}
    shown = centre.call("fsck", "A").stdout
    assert "dark     dark.fits" in shown


def test_a_check_of_a_disk_that_is_away_changes_nothing(centre: Centre) -> None:
    (centre.folder / "A" / ".eufas-storage").unlink()
    done = centre.call("fsck", "A", "--confirm")
    assert done.exit_code == 1
    assert "A cannot be checked, and nothing was changed" in done.stdout
    assert centre.places("EUC_1.fits") == {"A": "available"}


def test_what_failed_is_listed_and_tried_again(centre: Centre) -> None:
    rule(centre)
    with centre.registry() as registry:  # as if another mover had failed for good
        for one in registry.transfers.claim("m", 2, 60.0):
            registry.transfers.fail(one, ErrorClass.AUTH, "no key")
    failed = centre.told("transfers", "--failed")["transfers"]
    assert {one["transfer"]["error"] for one in failed} == {"no key"}
    assert "no key" in centre.call("why", "EUC_1.fits", "--in", "T").stdout
    assert len(centre.told("transfers", "--retry", "--dry-run")["again"]) == 2
    assert len(centre.told("transfers", "--retry", "EUC_1.fits")["again"]) == 1
    assert centre.told("move", "--once", "--no-rules")["drained"]["done"] == 1
    left = centre.told("transfers", "--failed")["transfers"]
    assert [one["transfer"]["file"] for one in left] == ["EUC_2.fits"]


def test_a_transfer_is_given_up(centre: Centre) -> None:
    rule(centre)
    words = ("transfers", "EUC_1.fits", "--cancel")
    assert centre.told(*words, "--dry-run")["cancelled"] == 1
    assert centre.told(*words)["cancelled"] == 1
    assert centre.told("move", "--once", "--no-rules")["drained"]["done"] == 1
    assert centre.told("transfers", "EUC_1.fits", "--all")["transfers"][0]["transfer"]["state"] == (
        "cancelled"
    )


def test_why_tells_of_every_storage(centre: Centre) -> None:
    rule(centre)
    told = centre.call("why", "EUC_1.fits").stdout
    assert "A: available, EUC_1.fits\n    registered where it lies" in told
    assert "B: not there\n    nobody asked for it" in told
    assert "T: not there\n    rule tape wants it" in told
    centre.told("move", "--once")
    assert "T: available" in centre.call("why", "EUC_1.fits", "--in", "T").stdout
