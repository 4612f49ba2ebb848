"""Reading: texts hold the same together as alone, and weigh what was fitted for what they hold."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import reading
from detectors.folding import fold
from detectors.reading import (
    BLOCKS,
    FEWEST,
    MOST_LETTERS,
    PLACES,
    Features,
    Reader,
    Weigher,
    quantised,
)
from detectors.thesaurus import Thesaurus, compiled

KNOWN = Thesaurus(
    compiled(
        [{"dont": ["don't", "jangan"], "tell": ["tell", "bagitahu"], "mother": ["mum", "mak"]}]
    )
)
READER = Reader(KNOWN)
TEXTS = st.lists(st.text(max_size=40).map(lambda text: fold(text).text), min_size=1, max_size=6)


def read(text: str) -> Features:
    """Read one text."""
    [features] = READER.read([text])
    return features


def weigher(texts: list[str], labels: int = 2) -> Weigher:
    """Return random weights for all that texts hold."""
    held = READER.read(texts)
    places = np.unique(np.concatenate([block for features in held for block in features[:3]]))
    weights = np.random.default_rng(7).normal(size=(len(places), labels))
    return Weigher(
        quantised([f"l{n}" for n in range(labels)], weights, [0.5] * labels, places.astype(np.intp))
    )


def test_texts_hold_the_same_together_as_alone() -> None:
    """Nothing runs from one text of a batch into the next, and each feature is there once."""
    seen = 0

    @given(TEXTS)
    def check(texts: list[str]) -> None:
        nonlocal seen
        for text, together in zip(texts, READER.read(texts), strict=True):
            for alone, block in zip(read(text), together, strict=True):
                assert list(alone) == list(block)
                assert len(set(block.tolist())) == len(block)
                seen += len(block)

    check()

    assert seen > 200


def test_blocks_have_places_of_their_own() -> None:
    """No word is taken for a run of letters."""
    features = read("jangan bagitahu mak don't tell mum 別說")
    ends = np.cumsum([1 << bits for bits in BLOCKS.values()])
    bounds = [0, *ends.tolist()]

    assert bounds[-1] == PLACES
    for block, (start, end) in zip(features[:3], pairwise(bounds), strict=True):
        assert len(block)
        assert start <= block.min() <= block.max() < end


def test_the_beginning_of_a_long_text_is_read() -> None:
    """However long it is, it costs no more than so many letters."""
    text = "lorem ipsum " * 2000
    shorter = read(text[:MOST_LETTERS])

    assert [list(block) for block in shorter] == [list(block) for block in read(text + "jangan")]
    assert 1 == len(read(f"{text[:3000]} jangan")[2])


def test_two_languages_hold_the_same_concepts() -> None:
    """Three concepts and their three pairs; no letters and no words in common."""
    one, other = read("don't tell mum"), read("jangan bagitahu mak")

    assert 6 == len(one[2])
    assert list(one[2]) == list(other[2])
    assert not set(one[1].tolist()) & set(other[1].tolist())


def test_what_comes_first_matters() -> None:
    """Of a pair; not where a concept stands again."""
    one, other = read("don't tell mum"), read("mum, don't tell")
    again = read("don't tell mum: tell mum don't")

    assert len(set(one.concepts.tolist()) & set(other.concepts.tolist())) == 3 + 1
    assert list(one.concepts) == list(again.concepts)
    assert list(one.named) == list(again.named) != list(other.named)
    assert sorted(one.named) == sorted(other.named)


def test_a_word_that_means_two_things_is_no_pair() -> None:
    """Or one ambiguous word would say as much as a sentence; what stands beside it pairs with each."""
    of_two = Reader(
        Thesaurus(
            compiled([{"bonus": ["extra", "gift"], "more": ["extra", "plus"], "you": ["you"]}])
        )
    )
    alone, beside, again, apart = of_two.read(["extra", "you extra", "extra extra", "gift plus"])
    places = np.union1d(beside.concepts, apart.concepts).astype(np.intp)
    values = np.where(np.isin(places, beside.concepts), 0.1, 1.0)[:, None]
    weights = Weigher(quantised(["one"], values, [0.0], places))

    assert [2, 5, 2, 3] == [len(of.concepts) for of in (alone, beside, again, apart)]
    assert ("you",) == of_two.telling(beside, weights, 1)
    assert {"bonus", "more"} == set(of_two.telling(apart, weights, 2))


@pytest.mark.parametrize(
    ("text", "is_one_word"),
    [
        ("", True), ("tell", True), ("tell tell tell", True), ("!? 3", True), ("tell mum", False),
        ("短", True), ("短い", False), ("tell a", False),
    ],
)  # fmt: skip
def test_one_word_is_known_however_often_it_stands(text: str, *, is_one_word: bool) -> None:
    """By its features alone."""
    assert read(fold(text).text).is_one_word is is_one_word


def test_what_is_said_again_holds_no_more() -> None:
    """Any word would weigh enough if only it were repeated."""
    weights = weigher(["lorem ipsum dolor"])
    once, often, other = weights.margins(
        READER.read(["lorem ipsum lorem", "lorem ipsum " * 300 + "lorem", "lorem ipsum dolor"])
    )

    assert list(once) == pytest.approx(list(often))
    assert list(once) != pytest.approx(list(other))


def test_margins_are_the_weights_of_each_block_over_the_root_of_their_number() -> None:
    """As training weighs them; a feature that no example has counts nowhere, and few weigh as if more."""
    texts = ["don't tell mum", "a bus", ""]
    weights = weigher(["don't tell your mum anything"])
    held, steps = weights._row, np.stack(weights._steps)  # noqa: SLF001
    expected = []
    for features in READER.read(texts):
        margin = np.array([0.5, 0.5])
        for block, fewest in zip(features[:3], FEWEST, strict=True):
            rows = held[block][held[block] > 0]
            root = max(len(rows), fewest) ** 0.5
            sums = steps[:, rows].sum(axis=1, dtype=int)
            margin += weights._scales * sums / root  # noqa: SLF001
        expected.append(list(margin))

    assert [list(m) for m in weights.margins(READER.read(texts))] == [
        pytest.approx(margin) for margin in expected
    ]
    assert [0.5, 0.5] == expected[-1]
    assert (0, 2) == weights.margins([]).shape


def test_weights_are_kept_to_a_step() -> None:
    """What is read back is off by half a step at most, and in the same places."""
    places = np.array([3, 9, 70_000, 900_000])
    weights = np.array([[1.0, -3.0], [0.2, 0.0], [-0.71, 2.9], [0.5, 1e-9]])
    kept = Weigher(quantised(["a", "b"], weights, [0.0, 0.0], places))
    steps = np.stack(kept._steps)[:, kept._row[places]].T * kept._scales  # noqa: SLF001

    assert steps == pytest.approx(weights, abs=3.0 / 127 / 2)
    assert 4 == (kept._row > 0).sum()  # noqa: SLF001


def test_those_who_weigh_share_the_steps() -> None:
    """Of a model there is one copy, whoever takes which labels."""
    kept = quantised(["a", "b"], np.array([[1.0, -3.0]]), [0.0, 0.0], np.array([3]))
    [b], [_, again] = Weigher(kept, ["b"])._steps, Weigher(kept)._steps  # noqa: SLF001

    assert np.shares_memory(b, again)


def test_coarse_weights_are_kept_to_four_steps() -> None:
    """Those of other labels are as before."""
    places = np.arange(5)
    weights = np.array([[1.0, 1.0], [0.37, 0.37], [-1.0, -1.0], [0.01, 0.01], [0.0, 0.0]])
    fine, coarse = Weigher(quantised(["a", "b"], weights, [0.0] * 2, places, {"b"}))._steps  # noqa: SLF001

    assert [0, 127, 47, -127, 1, 0] == fine.tolist()
    assert [0, 127, 48, -127, 0, 0] == coarse.tolist()


def test_a_text_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks next gets what was read, and only others are read."""
    read_texts: list[str] = []

    class Counting(Reader):
        def read(self, texts):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            read_texts.extend(texts)
            return super().read(texts)

    counting = Counting(KNOWN)
    monkeypatch.setattr(reading, "reader", lambda: counting)
    one, other = fold("tell mum"), fold("j a n g a n")
    first = reading.read([one])
    both = reading.read([one, other])

    assert ["tell mum", "jangan"] == read_texts
    assert first[0] is both[0]
    assert list(both[1][2]) == list(read("jangan")[2])


def test_another_process_is_sent_the_text_and_not_what_was_read() -> None:
    """It is folded text as before, and reads it if it needs to."""
    [one] = [fold("J a n g a n tell mum")]
    reading.read([one])
    sent = pickle.loads(pickle.dumps(one))  # noqa: S301  # our own

    assert (one.original, one.text, one.squeezed) == (sent.original, sent.text, sent.squeezed)
    assert sent.features is None
    assert one.features is not None


def test_what_weighs_most_is_named() -> None:
    """By the names of concepts, the heaviest first; half of what a pair weighs goes to each of it."""
    alone = {name: READER.read([text])[0][2] for name, text in
             (("dont", "jangan"), ("tell", "tell"), ("mother", "mum"))}  # fmt: skip
    pair = np.setdiff1d(read("jangan tell")[2], np.concatenate([alone["dont"], alone["tell"]]))
    places = np.concatenate([*alone.values(), pair]).astype(np.intp)
    order = places.argsort()
    values = np.array([-0.1, 0.3, 0.5, 1.0])[order, None]
    weights = Weigher(quantised(["one"], values, [0.0], places[order]))

    assert ("tell", "mother", "dont") == READER.telling(read("jangan tell your mum"), weights, 3)
    assert ("tell",) == READER.telling(read("jangan tell your mum"), weights, 1)
    assert () == READER.telling(read("jangan"), weights, 3)
    assert () == READER.telling(read(""), weights, 3)
