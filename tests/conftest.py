"""What every test may use."""

import os
import shutil
from collections.abc import Callable
from typing import Final, NoReturn

import pytest
from hypothesis import HealthCheck, settings

# A test that fails once must fail again: no random seed, no deadline that a busy machine misses.
settings.register_profile("penjaga", deadline=None, derandomize=True, database=None)
# Many more, and other ones each time: `make fuzz`.
settings.register_profile(
    "fuzz",
    deadline=None,
    database=None,
    max_examples=int(os.environ.get("PENJAGA_FUZZ_EXAMPLES", "0")) or 100,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz" if "PENJAGA_FUZZ_EXAMPLES" in os.environ else "penjaga")

_REQUIRED: Final = frozenset(filter(None, os.environ.get("PENJAGA_REQUIRE", "").split(",")))


@pytest.fixture(scope="session")
def unavailable() -> Callable[[str, str], NoReturn]:
    """Return what a fixture calls when the machine lacks something: its short name and the remedy.

    The tests are skipped, and the summary says how to get it. When the name is in the environment variable
    `PENJAGA_REQUIRE` (`kafka,prometheus,chromium,faketime`), they fail: a green run left nothing out then.
    """

    def leave(need: str, remedy: str) -> NoReturn:
        if need in _REQUIRED:
            pytest.fail(f"{remedy} (PENJAGA_REQUIRE names {need})", pytrace=False)
        pytest.skip(remedy)

    return leave


@pytest.fixture(scope="session")
def needs_prometheus(unavailable: Callable[[str, str], NoReturn]) -> None:
    """Leave the test out, or fail it when required, where Prometheus or its Alertmanager is missing."""
    if not all(map(shutil.which, ("prometheus", "promtool", "prometheus-alertmanager"))):
        unavailable(
            "prometheus",
            "alerts and dashboards need Prometheus: apt-get install prometheus prometheus-alertmanager",
        )
