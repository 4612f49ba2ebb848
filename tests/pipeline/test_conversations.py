"""Conversations that nobody looked at who chose terms or behaviours: how many are found over time.

`tests/corpus/conversations` was written apart from them, strictly without anything sexual. The `development`
half is open to whoever improves detection, the `unseen` half is only measured. Floors are what was measured.
"""

import json
from pathlib import Path
from typing import Final

import pytest

from pipeline.conversation_figures import measure
from pipeline.conversations import Talk, flagged, read
from pipeline.labelled import BENIGN, Reading
from pipeline.line import line
from pipeline.options import cache_folder
from pipeline.settings import load
from schemas.record import Limits

CORPUS: Final = Path(__file__).parents[1] / "corpus" / "conversations"
CUES: Final = {
    *("age", "access", "flattery", "gifts", "isolation", "secrecy", "risk", "testing", "platform"),
    *("pictures", "meeting", "threat", "stated_age", "refusal", "discomfort"),
}


GROOMING: Final = "csea.grooming"


def conversations(half: str) -> list[Talk]:
    """Return the conversations of a half, all languages."""
    talks = []
    for path in sorted(CORPUS.glob(f"*.{half}.jsonl")):
        with path.open("rb") as stream:
            talks += read(stream, path.name, Limits(), Reading.of([f"grooming={GROOMING}"]))
    assert all(isinstance(talk, Talk) for talk in talks)
    return [talk for talk in talks if isinstance(talk, Talk)]


@pytest.mark.parametrize("half", ["development", "unseen"])
def test_conversations_are_labelled_turn_by_turn(half: str) -> None:
    """Ten to sixty turns in order of time; grooming shows at least three processes of one sender."""
    held = [
        json.loads(one)
        for path in sorted(CORPUS.glob(f"*.{half}.jsonl"))
        for one in path.read_text("utf-8").splitlines()
    ]

    assert {"en", "id", "ms", "ta", "zh"} == {conversation["language"] for conversation in held}
    assert len(held) > 120
    for conversation in held:
        turns = conversation["turns"]
        minutes = [turn["minutes"] for turn in turns]
        shown = {cue for turn in turns if turn["actor"] == "a" for cue in turn["cues"]}
        assert 10 <= len(turns) <= 60
        assert sorted(minutes) == minutes
        assert CUES >= {cue for turn in turns for cue in turn["cues"]}
        assert conversation["label"] == "benign" or len(shown) >= 3


def test_what_nobody_looked_at_is_found_over_time() -> None:
    """Half are, so far; hardly any harmless one is flagged, though each was written to be mistaken."""
    settings = load(None, {})
    built = line(settings, cache_folder())
    talks = conversations("unseen")
    report = measure(flagged(talks, built, settings.limits), built.configuration, ())
    every = report.labels[GROOMING]["all"]

    assert (43, 82) == (every.conversations, every.harmless)
    assert every.found >= 22
    assert every.flagged <= 2
    assert all(f.found for f in report.labels[GROOMING].values())
    assert {BENIGN, GROOMING} == {talk.label for talk in talks}
