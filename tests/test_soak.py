"""The soak's own arithmetic: what is missing, differs or grew makes it fail."""

from pathlib import Path

import msgspec
import pytest

from tests.soak.report import Fault, Outcome, Sample, markdown, plot

STEADY = tuple(
    Sample(at=float(at), resident_bytes=300_000_000, files=100, threads=10, lag=5, delay=0.1,
           longest=0.4, sent=at * 10)
    for at in range(100)
)  # fmt: skip
WELL = Outcome(
    seconds=100.0, rate=10, sent=1_000, expected=30, found=30, repeated=2, different=0, restarts=1,
    faults=(Fault(50.0, "kill -9", 4.0), Fault(70.0, "kill -9", 6.0)), samples=STEADY,
)  # fmt: skip


def test_what_is_whole_and_steady_is_well() -> None:
    """Also where escalations were repeated, under their ids."""
    assert WELL.is_well
    assert {"memory": 0.0, "open files": 0.0, "threads": 0.0} == WELL.grown
    assert "All is well." in markdown(WELL)
    assert "| kill -9 | 2 | 5.0 | 6.0 |" in markdown(WELL)


@pytest.mark.parametrize("changes", [{"found": 29}, {"found": 31}, {"different": 1}])
def test_what_is_missing_or_differs_is_not(changes: dict[str, int]) -> None:
    """One escalation too few, one too many, one with other bytes."""
    outcome = msgspec.structs.replace(WELL, **changes)

    assert not outcome.is_well
    assert "SOMETHING IS WRONG." in markdown(outcome)


@pytest.mark.parametrize("figure", ["resident_bytes", "files", "threads"])
def test_what_grows_is_not_well(figure: str) -> None:
    """By more than a tenth from the second tenth of the time to the last; a peak between them may be."""

    def with_figure(share: float, *, from_: int, to: int) -> Outcome:
        samples = tuple(
            msgspec.structs.replace(s, **{figure: int(getattr(s, figure) * share)})
            if from_ <= s.at < to
            else s
            for s in STEADY
        )
        return msgspec.structs.replace(WELL, samples=samples)

    assert not with_figure(1.2, from_=60, to=100).is_well
    assert with_figure(1.09 if figure != "threads" else 1.0, from_=60, to=100).is_well
    assert with_figure(3.0, from_=40, to=60).is_well


def test_a_fault_that_was_never_made_good_is_told() -> None:
    """Even if nothing is missing in the end."""
    outcome = msgspec.structs.replace(WELL, faults=(*WELL.faults, Fault(90.0, "SIGTERM", None)))

    assert not outcome.is_well
    assert "| SIGTERM | 1 | never | never |" in markdown(outcome)


def test_without_samples_nothing_is_well() -> None:
    """A worker that nobody could look at has shown nothing."""
    assert not msgspec.structs.replace(WELL, samples=()).is_well


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    """With gaps where there was no escalation."""
    pytest.importorskip("matplotlib", reason="the extra `bench` brings it")
    gap = msgspec.structs.replace(STEADY[3], delay=None, longest=None)
    plot(msgspec.structs.replace(WELL, samples=(*STEADY[:3], gap, *STEADY[4:])), tmp_path / "a.png")

    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
