"""Detectors that break in every way, each on the text `now break` only: what guards are tested with."""

import ctypes
import multiprocessing
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detectors.contract import Candidate, Pattern
from schemas import Finding

TEXT = "apple now break"
"""What each of them breaks on."""


class Sound:
    """Find apples."""

    name = "sound"
    version = "1"
    labels = frozenset({"custom.apple"})
    patterns: Sequence[Pattern] = (Pattern("apple", r"\bapple\b"),)

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        for candidate in candidates:
            if "now break" in candidate.folded.text:
                self.fail()
            yield (
                candidate,
                Finding(
                    detector=self.name,
                    version=self.version,
                    label="custom.apple",
                    score=0.9,
                    start=0,
                    end=0,
                    reason="an apple",
                ),
            )

    def fail(self) -> Any:
        """Find what others break on."""


class Hangs(Sound):
    """Sleep for an hour."""

    name = "hangs"

    def fail(self) -> Any:
        time.sleep(3600)


class Burns(Sound):
    """Compute for ever, and keep whatever is raised."""

    name = "burns"

    def fail(self) -> Any:
        while True:
            try:
                sum(range(1000))
            except Exception:  # noqa: BLE001, S112
                continue


class Leaks(Sound):
    """Take all memory there is."""

    name = "leaks"

    def fail(self) -> Any:
        held = []
        while True:
            held.append(bytearray(64 << 20))


class Crashes(Sound):
    """Take the interpreter down."""

    name = "crashes"

    def fail(self) -> Any:
        ctypes.string_at(0)


class Garbage(Sound):
    """Yield what is no finding."""

    name = "garbage"

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        broken: Any = object(), "rubbish"
        for candidate, finding in super().scan(candidates):
            yield broken if TEXT in candidate.folded.text else (candidate, finding)


class Exits(Sound):
    """End the process."""

    name = "exits"

    def fail(self) -> Any:
        sys.exit(3)


class Backtracks(Sound):
    """Be inside one call for ages."""

    name = "backtracks"

    def fail(self) -> Any:
        re.match(r"(a|aa)+$", "a" * 200 + "b")


class GivesUp(Sound):
    """Stop by a limit of its own, as an expression with a timeout does."""

    name = "gives_up"

    def fail(self) -> Any:
        raise TimeoutError


class LoadsForEver(Sound):
    """Never be loaded in a process of its own."""

    name = "loads_for_ever"

    def __init__(self) -> None:
        if multiprocessing.parent_process() is not None:
            time.sleep(3600)


class CannotLoad(Sound):
    """Raise while it is loaded in a process of its own."""

    name = "cannot_load"

    def __init__(self) -> None:
        if multiprocessing.parent_process() is not None:
            raise OSError


class Chooses(Sound):
    """Want to see texts of its own choice, which the worker itself has to ask for."""

    name = "chooses"

    def reads(self, texts: Sequence[Any]) -> Mapping[int, float]:  # noqa: ARG002
        return {}
