"""Wording: texts weighed together and alone come to the same, and what is weighed is what is said."""

from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.folding import fold, fold_batch
from detectors.pieces import BITS, ORDERS, Weights, pieces
from detectors.wording import WARNS, Curve, Wording, shipped
from schemas import Evidence

RANDOM = Weights(
    np.random.default_rng(7).integers(-127, 128, 1 << BITS).astype(np.int8), scale=0.01, bias=-1.0
)
TEXTS = st.lists(st.text(max_size=40), min_size=1, max_size=8)


def margin(text: str) -> float:
    """Weigh one text."""
    return float(RANDOM.margins(pieces([text]))[0])


def test_texts_weigh_the_same_together_as_alone() -> None:
    """No piece runs from one text of a batch into the next."""
    seen = 0

    @given(TEXTS)
    def check(texts: list[str]) -> None:
        nonlocal seen
        batch = fold_batch(texts)
        together = [float(m) for m in RANDOM.margins(batch.pieces)]
        seen += len(texts)

        assert [margin(fold(text).text) for text in texts] == pytest.approx(together)

    check()

    assert seen > 100


def test_an_empty_text_has_nothing_to_weigh() -> None:
    """Its margin is the bias, wherever it stands."""
    assert [-1.0, -1.0] == [float(m) for m in RANDOM.margins(pieces(["", ""]))]
    assert -1.0 != margin("a word")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("see https://a.example/x", "see http://b.example/longer?q=1"),
        ("see www.a.example now", "see www.b.example now"),
        ("only rm25 now", "only rm84 now"),
        ("call 0123456789 now", "call 01987654321 now"),
    ],
)
def test_links_and_numbers_are_alike(one: str, other: str) -> None:
    """Which link, sum or number it is says nothing about the wording."""
    assert margin(one) == margin(other)


@pytest.mark.parametrize(("one", "other"), [("win big", "big win"), ("a1", "a11"), ("ab", "abc")])
def test_other_wording_weighs_otherwise(one: str, other: str) -> None:
    """Order, length and letters count."""
    assert margin(one) != margin(other)


def test_the_heaviest_words_are_named() -> None:
    """Their spans are those of words of the text, the heaviest first, and all weigh for the label."""
    text = "one two three four five six seven eight nine ten"
    found = RANDOM.strongest(text, 3)
    weights = [strongest.weight for strongest in found]

    assert 3 == len(found)
    assert sorted(weights, reverse=True) == weights
    assert min(weights) > 0
    assert {text[s.start : s.end] for s in found} <= set(text.split())


def test_nothing_is_named_where_nothing_is() -> None:
    """A text without words has no heaviest one."""
    assert () == RANDOM.strongest("  ", 3)


def test_a_score_is_a_probability_that_grows_with_both() -> None:
    """More of the wording, or more terms, never make it less."""
    curve = Curve(bias=-2.0, margin=0.5, terms=3.0, unread=1.0, sure=0.9)
    scores = [curve.score(m, t) for m, t in [(-9.0, -1.0), (-9.0, 0.5), (0.0, 0.5), (9.0, 1.0)]]

    assert sorted(scores) == scores
    assert 0.0 <= scores[0] < scores[-1] <= 1.0
    assert 0.1192 == curve.score(0.0, 0.0)
    assert 0.95 == curve.score(-9.0, 0.95)
    assert 1.0 == curve.score(-9.0, 1.2)
    assert 0.85 > curve.score(-9.0, 0.85)


def term(weight: float) -> Evidence:
    """Return a piece of evidence at the beginning of a text."""
    return Evidence("gambling.term", weight, 0, 3)


@pytest.mark.parametrize(
    ("family", "label"), [("gambling", "gambling.promotion"), ("fraud", "fraud")]
)
@pytest.mark.parametrize("weights", [(), (0.3,), (0.9, -0.6), (0.9, 0.5), (-0.5,)])
def test_wording_is_what_the_terms_leave_of_the_score(
    family: str, label: str, weights: tuple[float, ...]
) -> None:
    """Whatever the terms add up to, all evidence together is the score, cut to 0..1."""
    wording = Wording(family, label, 0.0001)
    text = "daftar sekarang bonus deposit"
    score, evidence = wording.join(fold(text), 1.5, [term(weight) for weight in weights])
    summed = sum(e.weight for e in evidence)

    assert score == round(min(1.0, max(0.0, summed)), 4)
    assert len(weights) <= len(evidence) <= len(weights) + 1
    assert all(0 <= e.start <= e.end <= len(text) for e in evidence)


def test_wording_alone_points_at_the_heaviest_word() -> None:
    """Beside terms it has no place of its own, so that a finding's span is theirs."""
    wording = Wording("gambling", "gambling.promotion", 0.4)
    text = "daftar sekarang bonus deposit"
    _, [alone] = wording.join(fold(text), 3.0, [])
    _, beside = wording.join(fold(text), 3.0, [term(0.1)])

    assert text[alone.start : alone.end] in text.split()
    assert [(0, 0), (0, 3)] == [(e.start, e.end) for e in beside]


@pytest.mark.parametrize("terms", [-0.5, 0.0, 0.4, 0.8])
def test_a_text_that_was_not_chosen_reaches_no_more_than_was_said(terms: float) -> None:
    """The bound by which texts are left out is the score of a text that reads as they do at most."""
    curve = shipped().curves["fraud"]
    most = curve.score(curve.unread, terms)

    assert Wording("fraud", "fraud", most).least_terms <= terms
    assert Wording("fraud", "fraud", most + 0.001).least_terms > terms


@given(st.floats(-8, 8), st.integers(5, 95), st.floats(-1, 2), st.floats(0.2, 1.2))
def test_no_sum_of_terms_below_what_is_wanting_makes_the_score(
    margin: float, percent: int, terms: float, sure: float
) -> None:
    """A little more than is wanting makes it."""
    score = percent / 100
    curve = msgspec.structs.replace(shipped().curves["fraud"], sure=sure)
    wanting = float(curve.wanting(np.array([margin]), score)[0])

    assert terms >= wanting or curve.score(margin, round(terms, 4)) < score
    assert curve.score(margin, wanting + 0.01) >= score


def test_what_is_worth_reporting_with_few_terms_is_chosen() -> None:
    """A plain scam is, in company too; ordinary talk is not, nor is what falls short by its wording."""
    wording = Wording("fraud", "fraud", 0.4)
    scam = "your account is suspended, verify your pin at this link within 24 hours"
    texts = fold_batch(["lunch at noon?", scam, "the bus was late again", ""])
    strict = Wording("fraud", "fraud", 0.99999)

    assert [1] == list(wording.wanting(texts))
    assert wording.wanting(texts)[1] < 0
    assert {} == strict.wanting(texts)


def test_a_term_that_warns_silences_the_wording() -> None:
    """A warning quotes what it warns of; what speaks against it only a little silences nothing."""
    wording = Wording("fraud", "fraud", 0.05)
    text = fold("verify your pin at this link")
    warned, _ = wording.join(text, 5.0, [term(0.4), term(WARNS)])
    doubted, _ = wording.join(text, 5.0, [term(0.4), term(WARNS + 0.01)])

    assert warned == wording.score(wording.curve.unread, 0.0)
    assert doubted > 0.9 > warned


def test_one_word_is_not_wording() -> None:
    """However often it stands; a word that tells says so beside another."""
    wording = Wording("bullying", "bullying", 0.25)
    alone = wording.margins([fold("idiot"), fold("idiot idiot idiot"), fold("!")])
    [aimed] = wording.margins([fold("you idiot")])

    assert max(alone) <= wording.curve.unread < aimed


def test_a_score_below_the_least_is_none() -> None:
    """No evidence is made of it."""
    wording = Wording("gambling", "gambling.promotion", 0.4)

    assert (0.0, ()) == wording.join(fold("see you at noon"), -9.0, [term(0.1)])
    assert 0.0 == wording.score(-9.0, 0.1) < wording.curve.score(-9.0, 0.1)


def test_the_shipped_model_is_small_and_fits_the_code() -> None:
    """Under 5 MB; its pieces are those cut here; every table is whole, and the gate has a curve."""
    path = Path(str(resources.files("detectors") / "models" / "wording.msgpack"))
    model = shipped()

    assert path.stat().st_size < 5_000_000
    assert (ORDERS, BITS) == (model.orders, model.bits)
    assert len(model.labels) << BITS == len(model.tables)
    assert len(model.labels) == len(model.gates)
    assert set(model.labels) <= set(model.closely.labels)
    assert {"bullying", "fraud", "gambling"} == set(model.curves)
    assert all(curve.margin > 0 and curve.terms > 0 for curve in model.curves.values())


def test_a_model_of_other_pieces_is_refused() -> None:
    """Weights for other pieces would mean nothing."""
    other = msgspec.structs.replace(shipped(), bits=BITS - 1)
    with pytest.raises(ValueError, match="run the training again"):
        other.weights("fraud")


def test_the_card_names_the_weights_and_every_source() -> None:
    """The page beside the weights was written with them."""
    folder = Path(str(resources.files("detectors") / "models"))
    card = (folder / "wording.md").read_text(encoding="utf-8")
    paths = [
        line.split('"')[1].rsplit("/", 1)[-1]
        for line in (folder / "wording.toml").read_text(encoding="utf-8").splitlines()
        if line.startswith("path = ")
    ]

    assert f"Weights {shipped().digest}," in card
    assert len(paths) > 5
    assert [] == [name for name in paths if name not in card]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (
            "kerja part time dari rumah, like dan follow saja, komisen dibayar setiap hari",
            "job_task",
        ),
        ("install this apk to see the wedding invitation", "malware_apk"),
        ("kami sewa akaun bank anda, serahkan kad atm, dibayar bulanan", "mule_recruitment"),
    ],
)
def test_kinds_of_scams_are_told_apart(text: str, label: str) -> None:
    """Where no term says which kind it is, wording does."""
    kinds = ("job_task", "malware_apk", "mule_recruitment", "investment", "phishing")
    wording = Wording("fraud", "fraud", 0.4, [f"fraud.{kind}" for kind in kinds])

    assert f"fraud.{label}" == wording.kind(fold(text))


def test_where_no_kind_is_known_it_is_the_first_by_name() -> None:
    """Never the family, which no detector may name."""
    wording = Wording("fraud", "fraud", 0.4, ["fraud.zither", "fraud.unheard_of"])

    assert "fraud.unheard_of" == wording.kind(fold("your parcel is held"))


def test_a_curve_scores_many_as_it_scores_one() -> None:
    """What is fitted is what is used."""
    curve = Curve(bias=-1.5, margin=0.7, terms=2.0, unread=0.0, sure=0.5)
    margins, terms = np.array([-3.0, 0.4, 2.0, -1.0]), np.array([0.2, 0.0, 1.4, 0.6])
    each = [curve.score(m, t) for m, t in zip(margins.tolist(), terms.tolist(), strict=True)]

    assert each == pytest.approx(list(curve.scores(margins, terms)), abs=1e-4)
