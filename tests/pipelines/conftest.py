"""Scripts of authors, as files; they are loaded by tests, not collected as such."""

from pathlib import Path

import pytest

collect_ignore = ["scripts"]


@pytest.fixture
def scripts() -> Path:
    return Path(__file__).parent / "scripts"
