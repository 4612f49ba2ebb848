"""A finding: what a detector says about one event, with the evidence that made it say so."""

from typing import Annotated

import msgspec

Score = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Offset = Annotated[int, msgspec.Meta(ge=0)]


class Evidence(msgspec.Struct, frozen=True):
    """One term of a score: what was seen, where in the original text, and what it added.

    `start` and `end` are code points of the original text, end exclusive; a term without a place in the
    text (metadata, say) has both 0. The weights of a finding's evidence add up to its score, before the
    sum is cut to 0..1.
    """

    term: str
    weight: float
    start: Offset = 0
    end: Offset = 0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A suspicion with its label, confidence and span in the original text.

    `score` is confidence, never severity: severity belongs to the label (`labels.toml`). `reason` is a
    sentence a reviewer can read; it quotes nothing from the text.
    """

    detector: str
    version: str
    label: str
    score: Score
    start: Offset
    end: Offset
    reason: str
    evidence: tuple[Evidence, ...] = ()
    attributes: dict[str, str] = {}
