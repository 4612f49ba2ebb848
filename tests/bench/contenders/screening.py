"""Penjaga's screen for frameworks that hand over one message at a time."""

from collections.abc import Callable
from pathlib import Path

from pipeline.line import line
from pipeline.settings import load
from schemas import Verdict
from tests.bench.contenders.account import Task


def screening(task: Task) -> Callable[[bytes], tuple[Verdict, ...]]:
    """Return what gives the verdicts of one record, with all detectors and the shipped settings."""
    settings = load(None, {})
    ready = line(settings, Path(task.cache))
    source = next(iter(settings.sources))

    def screen(record: bytes) -> tuple[Verdict, ...]:
        return ready.screen(source, [record]).verdicts.get(0, ())

    return screen
