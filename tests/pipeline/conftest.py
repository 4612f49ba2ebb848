"""The line with every detector, built once: compiling all patterns takes seconds."""

from pathlib import Path

import pytest

from pipeline.line import Line, line
from pipeline.settings import Settings


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder where compiled patterns are kept for all tests of a run."""
    return tmp_path_factory.mktemp("patterns")


@pytest.fixture(scope="session")
def built(cache: Path) -> Line:
    """Return the line with the built-in settings and every installed detector."""
    return line(Settings(), cache)
