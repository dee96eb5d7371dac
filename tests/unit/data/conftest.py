"""The wiring of the seed: four storages, four zones, and eight access rows with seven URLs."""

from collections.abc import Sequence

import pytest

from euclid_dask.data.model import Access


@pytest.fixture
def seed_accesses() -> Sequence[Access]:
    """Who reaches what in the seed's drawing. Archives are read by http, and not written."""
    return (
        Access(
            storage="fr",
            zone="community",
            root="http://euclid-archive.fr",
            write=0,
            delete=0,
        ),
        Access(storage="fr", zone="ial", root="http://euclid-archive.fr", write=0, delete=0),
        Access(
            storage="eas",
            zone="community",
            root="http://euclid-archive.ch",
            write=0,
            delete=0,
        ),
        Access(storage="eas", zone="ial", root="file:///data/sdc-eas"),
        Access(storage="sub", zone="ial", root="sftp://sub/data/sub_workspace"),
        Access(storage="sub", zone="submission", root="file:///data/sub_host"),
        Access(storage="exec", zone="submission", root="file:///mnt/exec_workspace"),
        Access(storage="exec", zone="execution", root="file:///exec_workspace"),
    )
