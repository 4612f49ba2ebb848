"""Drawing in: how much one message reads like an adult who draws a child in, and like a child's answers.

What terms cannot hold: there are countless ways to ask who is at home. A small learned model
(`detectors/models/cues.md`) says how likely each process of grooming is; the memory of the conversation adds
up what several messages of one sender show. No message is acted on for this alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from detectors import reading
from detectors.contract import Candidate, Pattern
from detectors.folding import Folded, FoldedBatch
from detectors.grooming import LABEL, PROCESSES
from detectors.letters import Mask
from detectors.reading import Floats, Weigher
from detectors.wording import Chooser, Model, shipped
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

LEAST: Final = {DRAWS_IN: 0.1, REPLIES_AT_ALL: 0.1}
"""A message is told of when one of these is at least so likely."""
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
        self._chooser = Chooser(model, list(LEAST))
        self._at_all = Weigher(model.closely, list(LEAST))
        self._cues = Weigher(model.closely, sorted(PROCESSES.keys() | REPLIES.keys()))

    def opens(self, texts: FoldedBatch) -> Sequence[int]:
        """Choose the texts to be read closely."""
        return self._chooser.positions(texts)

    def reads(self, texts: FoldedBatch) -> Mapping[int, float]:
        """Choose the texts that show a cue."""
        positions = self.opens(texts)
        at_all = self._likely_at_all([texts[position] for position in positions])
        return {positions[at]: 0.0 for at in np.flatnonzero(_is_told(at_all)).tolist()}

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield a finding for each message in which a cue is likely."""
        if not candidates:
            return
        at_all = self._likely_at_all([candidate.folded for candidate in candidates])
        telling = np.flatnonzero(_is_told(at_all)).tolist()
        read = reading.read([candidates[position].folded for position in telling])
        cues = _likely(self._cues.margins(read))
        for position, likely in zip(telling, cues, strict=True):
            told = self._told(
                dict(zip(LEAST, at_all[position].tolist(), strict=True)),
                dict(zip(self._cues.labels, likely.tolist(), strict=True)),
            )
            if told:
                yield candidates[position], self._finding(candidates[position], told)

    def _likely_at_all(self, texts: Sequence[Folded]) -> Floats:
        return _likely(self._at_all.margins(reading.read(texts)))

    @staticmethod
    def _told(at_all: Mapping[str, float], likely: Mapping[str, float]) -> dict[str, float]:
        """Return how likely each cue is: that there is any at all, and then that it is this one."""
        told = {
            name: strength
            for kind, names in ((DRAWS_IN, PROCESSES), (REPLIES_AT_ALL, REPLIES))
            if at_all[kind] >= LEAST[kind]
            for name in sorted(names)
            if (strength := round(at_all[kind] * likely[name], 2)) >= LEAST_TOLD
        }
        if told and at_all[DRAWS_IN] >= LEAST[DRAWS_IN]:
            told[DRAWS_IN] = round(at_all[DRAWS_IN], 2)
        return told

    def _finding(self, candidate: Candidate, told: Mapping[str, float]) -> Finding:
        score = round(FLOOR + REACH * max(told.values()), 4)
        strongest = max(told.keys() - {DRAWS_IN}, key=lambda name: (told[name], name))
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


def _is_told(at_all: Floats) -> Mask:
    told: Mask = np.any(at_all >= list(LEAST.values()), axis=1)
    return told


def _likely(margins: Floats) -> Floats:
    likely: Floats = 1.0 / (1.0 + np.exp(-margins))
    return likely


def _named(told: Mapping[str, float]) -> list[str]:
    names = {**PROCESSES, **REPLIES}
    shown = sorted(told.keys() & names.keys(), key=lambda name: (-told[name], name))
    return [names[name] for name in shown]
