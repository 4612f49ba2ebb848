"""Training of cues: what is shown is learned, the same every time; no language tells of a cue by itself."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from detectors.folding import fold
from detectors.pieces import pieces
from detectors.reading import Weigher, reader
from detectors.wording import Model

cue_training = pytest.importorskip(
    "pipeline.cue_training", reason="the extra `evaluate` brings scikit-learn"
)

SAID = {
    "age_access": "how old are you then",
    "meeting": "come to my place",
    "gifts": "a present for you",
    "stated_age": "twelve years old",
    "refusal": "no i will not",
}
REPLIED = ("stated_age", "refusal")
DRAWS_IN, REPLIES_AT_ALL = "drawing_in", "reply"
HARMLESS = ("the bus was late", "rice is ready", "see the score")


def recipe(folder: Path, harmless: float = 2.0, rarer: float = 1.0) -> Path:
    """Write a recipe and 40 turns of each cue in two languages."""
    rows = []
    for n in range(40):
        word = f"word{chr(97 + n % 26)}{chr(97 + n // 26)}"
        rows += [
            {
                "text": f"{text} {word}",
                "cues": [cue],
                "by": "recipient" if cue in REPLIED else "sender",
                "language": ("en", "ms")[n % 2],
                "conversation": f"c{n // 4}",
            }
            for cue, text in SAID.items()
        ]
        rows.append(
            {"text": f"{HARMLESS[n % 3]} {word}", "cues": [], "by": "sender", "language": ("en", "ms")[n % 2]}
        )  # fmt: skip
    (folder / "turns.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ordinary = [
        {"text": f"a kernel module {n}", "label": label, "attributes": {"lang": "eng"}}
        for n in range(30)
        for label in ("ham", "spam")
    ]
    (folder / "talk.jsonl").write_text("\n".join(map(json.dumps, ordinary)), encoding="utf-8")
    (folder / "cues.toml").write_text(
        '[[kinds]]\nname = "drawing_in"\ncues = ["age_access", "gifts", "meeting"]\n'
        f'not_from = "recipient"\nread = 0.1\nrarer = {rarer}\n'
        '[[kinds]]\nname = "reply"\ncues = ["stated_age", "refusal"]\nread = 0.1\n'
        f"[harmless]\nen = {harmless}\nms = 3.0\n"
        '[[examples]]\npath = "turns.jsonl"\nlicence = "none"\n'
        '[[ordinary]]\npath = "talk.jsonl"\nlicence = "none"\nonly = ["ham"]\nmost = 40\n'
        'languages = { eng = "en" }\nshare = 10.0\n',
        encoding="utf-8",
    )
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    """Return the folder of a trained model, and the model."""
    folder = recipe(tmp_path_factory.mktemp("cues"))
    cue_training.write(folder, (), folder)
    return folder, msgspec.msgpack.decode((folder / "cues.msgpack").read_bytes(), type=Model)


def test_a_process_is_told_from_harmless_talk_and_from_others(trained: tuple[Path, Model]) -> None:
    """The text of each cue has the highest margin of its cue; harmless talk draws nobody in."""
    _, model = trained
    texts = [*SAID.values(), "the bus was late"]
    read = Weigher(model.closely).margins(reader().read([fold(text).text for text in texts]))
    margins = dict(zip(model.closely.labels, read.T, strict=True))

    assert list(range(len(SAID))) == [int(margins[cue].argmax()) for cue in SAID]
    assert all(margins[DRAWS_IN][at] > 0 for at, cue in enumerate(SAID) if cue not in REPLIED)
    assert [cue in REPLIED for cue in SAID] == list(margins[REPLIES_AT_ALL][: len(SAID)] > 0)
    assert margins[DRAWS_IN][-1] < 0
    chosen = model.weights(DRAWS_IN).margins(pieces(texts)) >= model.gate(DRAWS_IN)
    assert all(chosen[at] for at, cue in enumerate(SAID) if cue not in REPLIED)
    assert not chosen[-1]


def lessons(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the turns of a recipe, and what is learned from them."""
    held = msgspec.toml.decode((folder / "cues.toml").read_bytes(), type=cue_training.Recipe)
    turns = cue_training.turns_of(held, (folder,))
    return turns, {lesson.name: lesson for lesson in cue_training.lessons(held.kinds, turns)}


def test_which_cue_is_learned_from_turns_that_have_one(trained: tuple[Path, Model]) -> None:
    """Of a process, replies and harmless turns are no counter-examples; of whether there is any, they are."""
    folder, _ = trained
    turns, held = lessons(folder)
    gifts, drawing, reply = held["gifts"], held[DRAWS_IN], held[REPLIES_AT_ALL]
    processes = SAID.keys() - {*REPLIED}

    assert all(t.cues & processes for t, used in zip(turns, gifts.used, strict=True) if used)
    assert (40, 120, {1.0}) == (gifts.shows.sum(), gifts.used.sum(), {*gifts.weights})
    assert {"sender", ""} == {t.by for t, used in zip(turns, drawing.used, strict=True) if used}
    assert len(turns) == reply.used.sum()
    assert (120, 80) == (drawing.shows.sum(), reply.shows.sum())


def test_harmless_rows_weigh_as_the_recipe_says(tmp_path: Path) -> None:
    """So many times as those with a cue, in every language; of a file of talk, the rows asked for."""
    folder = recipe(tmp_path)
    turns, _ = lessons(folder)
    for language, share in (("en", 2.0), ("ms", 3.0)):
        own = [t for t in turns if t.language == language]
        with_cue = sum(t.weight for t in own if t.cues)

        assert sum(t.weight for t in own if not t.cues) == pytest.approx(share * with_cue)
    talk = [t for t in turns if t.source == "talk.jsonl"]

    assert 20 == len(talk)
    assert {""} == {t.by for t in talk}


def test_training_again_gives_the_same_bytes(trained: tuple[Path, Model], tmp_path: Path) -> None:
    """Nothing depends on chance or on the clock."""
    folder, _ = trained
    cue_training.write(folder, (), tmp_path)

    assert (folder / "cues.msgpack").read_bytes() == (tmp_path / "cues.msgpack").read_bytes()
    assert (folder / "cues.md").read_bytes() == (tmp_path / "cues.md").read_bytes()


def test_the_card_counts_what_was_read(trained: tuple[Path, Model]) -> None:
    """Rows by file, and a figure for each cue and language that has it."""
    folder, model = trained
    card = (folder / "cues.md").read_text(encoding="utf-8")
    turns = len((folder / "turns.jsonl").read_text().splitlines())
    rows = {line.split(" | ")[0][2:]: line for line in card.splitlines() if line.startswith("| ")}

    assert model.digest in card
    assert f"| turns.jsonl | {turns - 40} | 40 |" in card
    assert "| talk.jsonl | 0 | 20 |" in card
    assert {*model.closely.labels} <= rows.keys()
    assert "| 1.00 |" in rows["gifts"]


def test_another_recipe_is_another_model(trained: tuple[Path, Model], tmp_path: Path) -> None:
    """The digest stands for the weights of rows, too."""
    _, model = trained
    other, _ = cue_training.train(recipe(tmp_path, harmless=5.0), ())

    assert model.digest != other.digest
    assert not np.array_equal(model.biases, other.biases)


def test_what_is_rarer_is_as_much_less_likely(trained: tuple[Path, Model], tmp_path: Path) -> None:
    """The odds that a turn draws in, whatever it says; nothing else changes."""
    _, model = trained
    other, _ = cue_training.train(recipe(tmp_path, rarer=5.0), ())
    texts = reader().read([*SAID.values(), "the bus was late"])
    before, after = (Weigher(m.closely).margins(texts) for m in (model, other))
    at = model.closely.labels.index(DRAWS_IN)

    assert before[:, at] - after[:, at] == pytest.approx(np.log(5.0))
    assert np.delete(before, at, axis=1) == pytest.approx(np.delete(after, at, axis=1))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the folders in which it is not."""
    folder = recipe(tmp_path)
    (folder / "talk.jsonl").unlink()

    with pytest.raises(FileNotFoundError, match=r"talk\.jsonl is in none of"):
        cue_training.train(folder, (tmp_path / "data",))
