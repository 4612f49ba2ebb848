"""Training: a small model learns what it was shown, the same every time, and its card says from what."""

import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from detectors import drawing_in, gambling, harassment, scam_texts
from detectors.folding import fold
from detectors.pieces import BITS, Weights, pieces
from detectors.reading import Weigher, reader
from detectors.wording import Model

training = pytest.importorskip(
    "pipeline.training", reason="the extra `evaluate` brings scikit-learn"
)

cue_training = pytest.importorskip("pipeline.cue_training")

HARMFUL = ("join our lucky spin club", "free chips for new players", "spin and win with agent")
HARMLESS = ("lunch at noon tomorrow", "the bus was late again", "happy birthday dear friend")
KINDS = ("fraud.phishing", "fraud.job_task")


def examples(folder: Path) -> Path:
    """Write a recipe and its examples: 60 of each label, told apart by their words."""
    rows = []
    for n in range(60):
        word = f"word{chr(97 + n % 26)}{chr(97 + n // 26)}"
        rows += [
            {"text": f"{HARMFUL[n % 3]} {word}", "label": "gambling.promotion", "language": "en"},
            {"text": f"send your code {word} to us", "label": KINDS[0], "language": "en"},
            {"text": f"earn daily by liking videos {word}", "label": KINDS[1], "language": "en"},
            {"text": f"{HARMLESS[n % 3]} {word}", "label": "benign", "language": "en"},
        ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (folder / "wording.toml").write_text(
        '[[examples]]\npath = "rows.jsonl"\nis_ordinary = false\nabout = ["gambling", "fraud"]\n'
        'licence = "none {curly}"\n'
        '[[examples]]\npath = "rows.jsonl"\nlabels = { benign = "benign" }\nis_ordinary = true\n'
        'licence = "none"\n',
        encoding="utf-8",
    )
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    """Return the folder of a trained model, and the model."""
    folder = examples(tmp_path_factory.mktemp("examples"))
    training.write(folder, (), folder)
    return folder, msgspec.msgpack.decode((folder / "wording.msgpack").read_bytes(), type=Model)


def test_what_was_learned_is_told_apart(trained: tuple[Path, Model]) -> None:
    """Texts with the harmful words have the higher margin, for each family."""
    _, model = trained
    texts = ["spin and win chips", "liking videos daily", "the bus was late"]
    for label, position in (("gambling.promotion", 0), ("fraud", 1)):
        assert position == int(model.weights(label).margins(pieces(texts)).argmax())
        assert position == int(margins(model, label, texts).argmax())


def margins(model: Model, label: str, texts: list[str]) -> np.ndarray[Any, Any]:
    """Return how much texts read like a label."""
    read = reader().read([fold(text).text for text in texts])
    held: np.ndarray[Any, Any] = Weigher(model.closely).margins(read)
    return held[:, model.closely.labels.index(label)]


def test_what_chooses_texts_lets_few_ordinary_ones_through(trained: tuple[Path, Model]) -> None:
    """A fiftieth of what is ordinary at most, as the family says."""
    folder, model = trained
    rows = [json.loads(row) for row in (folder / "rows.jsonl").read_text().splitlines()]
    ordinary = [row["text"] for row in rows if row["label"] == "benign"]
    passing = model.weights("fraud").margins(pieces(ordinary)) >= model.gate("fraud")

    assert passing.mean() <= 0.1
    assert {"gambling.promotion", "fraud"} == set(model.labels)
    assert {*KINDS, *model.labels} == set(model.closely.labels)


def test_kinds_are_kept_in_coarse_steps(trained: tuple[Path, Model]) -> None:
    """Of four; what decides whether anything is found is kept in steps of one."""
    _, model = trained
    known = np.frombuffer(zlib.decompress(model.closely.steps), dtype=np.int8)
    steps = dict(
        zip(model.closely.labels, known.reshape(len(model.closely.labels), -1), strict=True)
    )
    uneven = {label: int((of % 4 != 0).sum()) for label, of in steps.items()}

    assert all(set(steps[kind][steps[kind] % 4 != 0]) <= {-127, 127} for kind in KINDS)
    assert uneven["fraud"] > 100


def test_training_again_gives_the_same_bytes(trained: tuple[Path, Model], tmp_path: Path) -> None:
    """Nothing depends on chance or on the clock."""
    folder, _ = trained
    training.write(folder, (), tmp_path)

    assert (folder / "wording.msgpack").read_bytes() == (tmp_path / "wording.msgpack").read_bytes()
    assert (folder / "wording.md").read_bytes() == (tmp_path / "wording.md").read_bytes()


def test_the_digest_stands_for_the_examples(trained: tuple[Path, Model], tmp_path: Path) -> None:
    """One more row is another model."""
    _, model = trained
    folder = examples(tmp_path)
    row = json.dumps({"text": "one more", "label": "benign", "language": "en"})
    with (folder / "rows.jsonl").open("a", encoding="utf-8") as rows:
        rows.write(f"\n{row}")
    other, _ = training.train(folder, ())

    assert model.digest != other.digest


def test_the_card_counts_what_was_read(trained: tuple[Path, Model]) -> None:
    """Rows by file, recall by language, and the curve."""
    folder, model = trained
    card = (folder / "wording.md").read_text(encoding="utf-8")

    assert model.digest in card
    assert "| rows.jsonl | 180 | 120 |" in card
    assert "| gambling | en | 60 | 180 |" in card
    assert f"{model.curves['gambling'].margin} × margin" in card


@pytest.mark.parametrize("unread", ["", 'unread = ["bullying"]\n'])
def test_rows_that_nobody_read_for_a_family_teach_nothing_of_it(
    tmp_path: Path, unread: str
) -> None:
    """What is harmless for another family may be full of abuse: it counts only where it was looked at."""
    examples(tmp_path)
    abuse = [
        {
            "text": f"nobody wants you {chr(97 + n)}",
            "label": "bullying.harassment",
            "language": "en",
        }
        for n in range(20)
    ]
    others = [
        {**row, "text": f"{row['text']} x", "label": "benign"} for row in abuse for _ in "123"
    ]
    for name, rows in (("abuse", abuse), ("others", others)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with (tmp_path / "wording.toml").open("a", encoding="utf-8") as recipe:
        recipe.write(
            '[[examples]]\npath = "abuse.jsonl"\nabout = ["bullying"]\nlicence = "none"\n'
            f'[[examples]]\npath = "others.jsonl"\n{unread}licence = "none"\n'
        )
    model, _ = training.train(tmp_path, ())
    [margin] = margins(model, "bullying", ["nobody wants you x"])

    assert bool(margin > 0) is bool(unread)


def test_matrices_weigh_as_the_margins_do() -> None:
    """The rows times the weights are the margins, with every piece as often as it is there."""
    texts = ["spin spin spin", "a longer text that says something", "短い", ""] * 300
    table = np.arange(1 << BITS, dtype=np.int64) % 255 - 127
    weights = Weights(table.astype(np.int8), 0.01, 0.5)
    values = np.where(np.arange(1 << BITS) > 0, table * 0.01, 0.0)
    cut = pieces(texts)

    assert 0 == training.matrix(texts)[:, 0].nnz
    assert training.matrix(texts) @ values + 0.5 == pytest.approx(weights.margins(cut), abs=1e-4)


def test_what_was_read_weighs_as_the_margins_do() -> None:
    """The rows times the weights are the margins; what is in too few rows is left out of both."""
    texts = ["spin spin spin", "don't tell your mum that", "短い", ""] * 3 + ["only here, once"]
    read = training.closely(texts)
    weights = np.random.default_rng(7).normal(size=len(read.places))
    learned = training.Learned("one", weights, 0.5)
    fitted = training.model("", [], [learned], read.places, {})
    [alone] = Weigher(fitted.closely).margins(reader().read(["only here, once"]))
    known = Weigher(fitted.closely).margins(reader().read(texts))[:, 0]

    assert read.features @ weights + 0.5 == pytest.approx(known, abs=0.1)
    assert read.features.shape == (len(texts), len(read.places))
    assert read.features[-1].nnz < 12
    assert alone == pytest.approx(known[-1])
    assert [0, 1, 2] == np.unique(read.blocks).tolist()
    rows = np.asarray((read.features > 0).sum(axis=0)).ravel()
    assert read.rarity[rows.argmin()] == read.rarity.max() > read.rarity.min()
    assert read.rarity[rows.argmax()] == read.rarity.min()


def test_what_each_block_says_adds_up_to_the_margin_of_a_model_that_has_not_seen_the_row() -> None:
    """Of rows that are used, and of no others; shares then weigh the blocks as they do in what is kept."""
    rows = [f"{text} {word}" for text in (*HARMFUL, *HARMLESS) for word in "abcdefghijkl"]
    read = training.closely(rows)
    shows, used = np.arange(len(rows)) < 36, np.arange(len(rows)) % 7 > 0
    fold_of = np.arange(len(rows)) % training.FOLDS
    lesson = training.Lesson("one", shows, used, np.ones(len(rows)))
    said = training.unseen_of(read, lesson, fold_of)
    there, left = used & (fold_of == 3), used & (fold_of != 3)
    only = training.Lesson("one", shows, left, lesson.weights)
    for balance in (training.ALIKE, training.Balance((0.5, 0.25, 2.25), -0.75)):
        learned = training.learn(read, only, balance)

        assert balance.margins(said)[there] == pytest.approx(
            read.features[there] @ learned.weights + learned.bias
        )
    assert (0 == said[~used]).all()
    assert 4 == len({round(float(of), 6) for of in said[there][0]})


def test_blocks_count_as_they_tell_rows_apart() -> None:
    """One that says nothing counts little, one that says the contrary not at all, and all 1 on average.

    Rows are as likely on the whole as they are often, each as much as it weighs.
    """
    rng = np.random.default_rng(7)
    shows, weights = np.arange(4000) % 2 == 0, np.where(np.arange(4000) % 4 < 2, 1.0, 3.0)
    weights[shows] /= 5
    said = rng.normal(size=(4000, 4))
    said[:, 0] += shows
    said[:, 2] -= shows
    everything = shows | True
    balance = training.balanced(said, shows, weights, everything)
    first, second, third = balance.shares
    likely = 1.0 / (1.0 + np.exp(-balance.margins(said)))

    assert first > 2.5
    assert abs(second) < 0.3
    assert 0.0 == third
    assert 3.0 == pytest.approx(first + second)
    assert 1 / 6 == pytest.approx(np.average(likely, weights=weights))
    assert training.ALIKE == training.balanced(said, shows & False, weights, everything)
    same = -said[:, :1].repeat(4, axis=1)
    assert training.ALIKE == training.balanced(same, shows, weights, everything)


def test_a_curve_along_which_more_is_less_is_none() -> None:
    """Bounds of what terms can add would turn round."""
    rng = np.random.default_rng(7)
    shows = np.arange(400) % 2 == 0
    family = training.FAMILIES["fraud"]
    row = training.Row(
        text="", label="benign", weight=1.0, group="", is_ordinary=False, language="en", source="",
        families=frozenset(),
    )  # fmt: skip
    better, noise = rng.normal(size=400) + shows, rng.normal(size=400)

    assert training.curve(family, better, better + noise, shows, [row] * 400).terms > 0
    for margins, terms in ((better, noise - shows), (-better, noise)):
        with pytest.raises(ValueError, match="fraud: margin or terms tell the contrary"):
            training.curve(family, margins, terms, shows, [row] * 400)


def test_rows_of_one_group_share_a_fold() -> None:
    """What is measured as unseen was not seen with another number in it."""
    row = training.Row("", "benign", 1.0, "a", False, "", "", frozenset())  # noqa: FBT003
    other = msgspec.structs.replace(row, group="b")
    one, same, _ = training.folds([row, row, other])

    assert one == same
    assert 1 < len(
        {
            int(f)
            for f in training.folds([msgspec.structs.replace(row, group=str(n)) for n in range(50)])
        }
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the folders in which it is not."""
    folder = examples(tmp_path)
    (folder / "rows.jsonl").unlink()

    with pytest.raises(FileNotFoundError, match=r"rows\.jsonl is in none of"):
        training.train(folder, (tmp_path / "data",))


def test_a_folder_without_a_recipe_is_named(tmp_path: Path) -> None:
    """Nothing is trained, and that is no success."""
    arguments = ["train", str(tmp_path), "--recipe", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert 2 == done.returncode
    assert "has no wording.toml or cues.toml" in done.stderr


def test_what_is_worth_reading_is_what_detectors_report() -> None:
    """The numbers are those of the detectors, which training may not import."""
    assert training.FAMILIES["gambling"].least == gambling.LEAST_SCORE
    assert training.FAMILIES["fraud"].least == scam_texts.FLOOR
    assert training.FAMILIES["bullying"].least == harassment.LEAST_SCORE
    assert set(drawing_in.LEAST.values()) == {cue_training.LEAST}


@pytest.mark.parametrize(
    ("share", "worth", "passed"),
    [
        (0.1, [], 10),
        (0.1, [95, 99], 5),
        (0.02, [60, 99], 2),
        (0.1, list(range(101)), 10),
        (0.5, list(range(60, 101)), 40),
    ],
)
def test_no_more_is_chosen_than_is_worth_it(share: float, worth: list[int], passed: int) -> None:
    """Nearly all of what is worth reading, and of ordinary texts a share at most."""
    margins = np.arange(101.0)
    is_worth = np.isin(margins, worth)
    least = training.gate(margins, margins < 100, share, is_worth)

    assert passed == (margins[:100] >= least).sum()
