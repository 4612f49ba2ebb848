"""Conversations that nobody looked at who chose terms or behaviours: how many are found over time.

`tests/corpus/conversations` was written apart from them, strictly without anything sexual. The `development`
half is open to whoever improves detection, the `unseen` half is only measured. Floors are what was measured.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.line import line
from pipeline.options import cache_folder
from pipeline.scan import Input, scan, subjects
from pipeline.settings import load

CORPUS: Final = Path(__file__).parents[1] / "corpus" / "conversations"
CUES: Final = {
    *("age", "access", "flattery", "gifts", "isolation", "secrecy", "risk", "testing", "platform"),
    *("pictures", "meeting", "threat", "stated_age", "refusal", "discomfort"),
}


def conversations(half: str) -> list[dict[str, Any]]:
    """Return the conversations of a half, all languages."""
    paths = sorted(CORPUS.glob(f"*.{half}.jsonl"))
    return [json.loads(one) for path in paths for one in path.read_text("utf-8").splitlines()]


def events(conversation: dict[str, Any]) -> list[bytes]:
    """Return a conversation as a platform would send it: direct messages between two or more."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        json.dumps(
            {
                "id": f"{conversation['id']}/{n}",
                "platform": "test",
                "kind": "message",
                "occurred_at": (start + timedelta(minutes=turn["minutes"])).isoformat(),
                "text": turn["text"],
                "actor": {"id": turn["actor"]},
                "audience": {
                    "kind": "dm",
                    "recipient_ids": ["b" if turn["actor"] == "a" else "a"],
                },
                "conversation": {"id": conversation["id"]},
            }
        ).encode()
        for n, turn in enumerate(conversation["turns"])
    ]


@pytest.mark.parametrize("half", ["development", "unseen"])
def test_conversations_are_labelled_turn_by_turn(half: str) -> None:
    """Ten to sixty turns in order of time; grooming shows at least three processes of one sender."""
    held = conversations(half)

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
    """A third is, so far; hardly any harmless one is flagged, though each was written to be mistaken."""
    settings = load(None, {})
    built = line(settings, cache_folder())
    mapping = next(iter(built.mappings.values()))
    held = conversations("unseen")
    sent = [record for conversation in held for record in events(conversation)]
    scanned = list(scan([Input(n, record) for n, record in enumerate(sent)], built, mapping))
    told = subjects(scanned, built.watch)
    flagged = {
        verdict["subject"].rpartition(":")[2]
        for verdicts in told.values()
        for verdict in verdicts
        if verdict["behaviour"] == "grooming_conversation"
    }
    grooming = {c["id"] for c in held if c["label"] == "grooming"}
    harmless = {c["id"] for c in held} - grooming

    assert (43, 82) == (len(grooming), len(harmless))
    assert len(flagged & grooming) >= 13
    assert len(flagged & harmless) <= 2
