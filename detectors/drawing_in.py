"""Drawing in: how much one message reads like an adult who draws a child in, and like a child's answers.

What terms cannot hold: there are countless ways to ask who is at home. A small learned model
(`detectors/models/cues.md`) says how likely each process of grooming is; the memory of the conversation adds
up what several messages of one sender show. No message is acted on for this alone.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from detectors.contract import Candidate, Pattern
from detectors.folding import FoldedBatch
from detectors.grooming import LABEL, PROCESSES
from detectors.wording import Floats, Model, pieces, shipped
from schemas import Evidence, Finding

DRAWS_IN: Final = "drawing_in"
"""That the writer draws a child in at all, by whichever process."""
REPLIES_AT_ALL: Final = "reply"
"""That the writer replies as a child who is drawn in may, in whichever way."""
REPLIES: Final = {
    "stated_age": "the writer tells an age of childhood",
    "refusal": "the writer says no",
    "discomfort": "the writer is uneasy",
}

LEAST: Final = {DRAWS_IN: 0.4, REPLIES_AT_ALL: 0.2}
"""A message is told of when one of these is at least so likely. Of ordinary messages, 1 in 20 is."""
LEAST_TOLD: Final = 0.05
"""What is less likely is not told."""
FLOOR: Final = 0.1
REACH: Final = 0.04
"""A finding scores FLOOR + REACH x how likely it is: enough to be remembered in its conversation, and never
enough to be acted on, nor to count against the sender elsewhere."""


class DrawingIn:
    """Find messages that read as if somebody drew a child in, and replies that tell an age, unease or
    refusal, whatever words they use. Malay, Indonesian, English, Chinese, Tamil.

    A finding says how likely each process is (`processes`), scores at most 0.14, and so changes nothing by
    itself: several different processes of one sender have to come together in the memory of a conversation.

    Misses: much of what is oblique, short or in dialect. Mistakes harmless talk between adults and
    children (homework, lifts, presents) for it now and then, which is why one message never counts alone.
    """  # noqa: D205 - the first sentence is the page's first paragraph

    name: Final = "drawing_in"
    labels: Final = frozenset({LABEL})
    patterns: Sequence[Pattern] = ()

    def __init__(self, model: Model | None = None) -> None:
        """Use the shipped model unless given another."""
        model = model or shipped("cues")
        self.version = f"1+{model.digest}"
        self._weights = {
            name: model.weights(name) for name in (*LEAST, *sorted(PROCESSES), *sorted(REPLIES))
        }
        self._gates = {name: math.log(least / (1.0 - least)) for name, least in LEAST.items()}

    def reads(self, texts: FoldedBatch) -> Sequence[int]:
        """Choose the texts that may show a cue."""
        may = np.zeros(len(texts), dtype=bool)
        for name, gate in self._gates.items():
            may |= self._weights[name].rough_margins(texts.pieces) >= gate
        return [int(at) for at in np.flatnonzero(may)]

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield a finding for each message in which a cue is likely."""
        if not candidates:
            return
        views = [c.folded.squeezed or c.folded.text for c in candidates]
        cut = pieces(views)
        likely = {
            name: 1.0 / (1.0 + np.exp(-weights.rough_margins(cut)))
            for name, weights in self._weights.items()
        }
        for position, candidate in enumerate(candidates):
            told = {
                name: strength
                for at_all, names in ((DRAWS_IN, PROCESSES), (REPLIES_AT_ALL, REPLIES))
                if likely[at_all][position] >= LEAST[at_all]
                for name in sorted(names)
                if (strength := _share(likely, at_all, name, position)) >= LEAST_TOLD
            }
            if told:
                yield candidate, self._finding(candidate, told)

    def _finding(self, candidate: Candidate, told: Mapping[str, float]) -> Finding:
        score = round(FLOOR + REACH * max(told.values()), 4)
        strongest = max(told, key=lambda name: (told[name], name))
        # All of it: which word weighs most would cost more than everything else, for what only memory reads.
        start, end = 0, len(candidate.event.text)
        return Finding(
            detector=self.name,
            version=self.version,
            label=LABEL,
            score=score,
            start=start,
            end=end,
            reason="may be part of grooming: " + ", ".join(_named(told)),
            evidence=(Evidence(f"grooming.{strongest}", score, start, end),),
            attributes={"processes": ",".join(f"{name}={told[name]}" for name in sorted(told))},
        )


def _share(likely: Mapping[str, Floats], at_all: str, name: str, position: int) -> float:
    """Return how likely one cue is: that there is any, and then that it is this one."""
    return round(float(likely[at_all][position] * likely[name][position]), 2)


def _named(told: Mapping[str, float]) -> list[str]:
    names = {**PROCESSES, **REPLIES}
    return [names[name] for name in sorted(told, key=lambda name: (-told[name], name))]
