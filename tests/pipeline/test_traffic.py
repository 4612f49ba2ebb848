"""Simulated traffic: repeatable, plausible, and honest about what ought to be escalated."""

from collections import Counter
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path

import msgspec
import pytest
import regex

from detectors import canary
from detectors.folding import fold
from pipeline import traffic as module
from pipeline.traffic import Sent, Sentences, look_alike, spaced, styled, to_bytes, traffic
from schemas import Event
from schemas.document import Document, DocumentError

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
COUNT = 20_000
SHIPPED = Path(module.__file__).with_name("traffic.toml")
LANGUAGES = {"ms", "id", "en", "zh", "ta"}
FAMILIES = {"gambling", "fraud", "csea", "bullying"}


@pytest.fixture(scope="module")
def sent() -> list[Sent]:
    """Return 20,000 simulated events."""
    return list(islice(traffic(7, start=START), COUNT))


@pytest.fixture(scope="module")
def shipped() -> Sentences:
    """Return the shipped sentences."""
    return Sentences(Document.read(SHIPPED))


def language(template: str) -> str:
    """Return the language, without its script, that a template's id names."""
    return template.rsplit(".", 2)[1].partition("-")[0]


def share(count: int) -> float:
    """Return a count as a share of all events."""
    return count / COUNT


def refused(old: str, new: str) -> DocumentError:
    """Return the error for the shipped file with its first `old` replaced."""
    source = SHIPPED.read_text(encoding="utf-8")
    assert old in source
    with pytest.raises(DocumentError) as caught:
        Sentences(Document(source.replace(old, new, 1), "traffic.toml"))
    return caught.value


def test_the_same_seed_gives_the_same_stream(sent: list[Sent]) -> None:
    """Two runs of a demonstration show the same events, byte for byte."""
    again = list(islice(traffic(7, start=START), 2000))

    assert sent[:2000] == again
    assert [to_bytes(s.event) for s in sent[:2000]] == [to_bytes(s.event) for s in again]


def test_another_seed_gives_another_stream(sent: list[Sent]) -> None:
    """Two simulated sources never share an event id, and say other things."""
    other = list(islice(traffic(8, start=START), 2000))

    assert {s.event.id for s in other}.isdisjoint(s.event.id for s in sent)
    assert [s.event.text for s in other] != [s.event.text for s in sent[:2000]]


def test_ids_are_unique(sent: list[Sent]) -> None:
    """An event's id stands for one event."""
    assert len({s.event.id for s in sent}) == COUNT


def test_time_moves_forward_from_the_start(sent: list[Sent]) -> None:
    """The simulated clock starts where it is told and never stands still or jumps."""
    moments = [START, *(s.event.occurred_at for s in sent)]
    steps = [(b - a).total_seconds() for a, b in pairwise(moments)]

    assert min(steps) > 0
    assert max(steps) < 0.1


def test_a_start_without_a_time_zone_is_refused() -> None:
    """A naive moment would give events that no schema accepts."""
    with pytest.raises(ValueError, match="time zone"):
        traffic(1, start=START.replace(tzinfo=None))


def test_every_event_decodes_from_its_bytes(sent: list[Sent]) -> None:
    """What is produced is what the schema accepts: the round trip changes nothing."""
    decoder = msgspec.json.Decoder(Event)

    assert [decoder.decode(to_bytes(s.event)) for s in sent] == [s.event for s in sent]


def test_about_three_percent_are_harmful(sent: list[Sent]) -> None:
    """Harm is rare, and the canary rarer still, but both are there."""
    harmful = sum(bool(s.expected) for s in sent)
    canaries = sum(s.expected == ("canary.seen",) for s in sent)

    assert 0.025 <= share(harmful) <= 0.036
    assert 1 <= canaries <= 30


def test_the_canary_is_the_detectors() -> None:
    """The simulator writes the very string that the canary detector finds."""
    assert module.CANARY == canary.CANARY


def test_about_an_eighth_is_not_ascii(sent: list[Sent]) -> None:
    """Folding meets as much non-ASCII text as real Malaysian talk has."""
    assert 0.10 <= share(sum(not s.event.text.isascii() for s in sent)) <= 0.14


def test_about_a_twelfth_of_ordinary_talk_has_a_link(sent: list[Sent]) -> None:
    """A link alone is ordinary."""
    ordinary = [s.event.text.lower() for s in sent if not s.expected]
    linked = sum("http" in text or "www." in text for text in ordinary)

    assert 0.065 <= linked / len(ordinary) <= 0.1


def test_all_languages_and_families_occur(sent: list[Sent]) -> None:
    """Every family is seen in every language, and ordinary talk in all of them."""
    ordinary = {language(s.template) for s in sent if not s.expected}
    harmful = {
        (s.expected[0].partition(".")[0], language(s.template))
        for s in sent
        if s.expected and s.template != "canary"
    }

    assert ordinary == LANGUAGES
    assert harmful == {(family, tag) for family in FAMILIES for tag in LANGUAGES}


def test_ordinary_talk_expects_nothing(sent: list[Sent]) -> None:
    """Neither small talk nor a hard negative is labelled; everything else is."""
    ordinary = [s for s in sent if s.template.startswith(("ordinary.", "hard_negative."))]
    rest = [s for s in sent if not s.template.startswith(("ordinary.", "hard_negative."))]

    assert {s.expected for s in ordinary} == {()}
    assert len(rest) > 0
    assert all(s.expected for s in rest)


def test_texts_rarely_repeat(sent: list[Sent]) -> None:
    """A viewer does not see the same lines come by: most texts occur once in 20,000."""
    counts = Counter(s.event.text for s in sent)

    assert share(len(counts)) > 0.8
    assert max(n for text, n in counts.items() if text != module.CANARY) < 25


def test_every_slot_is_filled(sent: list[Sent]) -> None:
    """No markup of the sentence file reaches an event."""
    assert [s.template for s in sent if set("{}[]#") & set(s.event.text)] == []


def test_audiences_kinds_and_people_vary(sent: list[Sent]) -> None:
    """Messages go to chats and groups, comments and posts to the public; nobody talks alone."""
    placed = Counter((s.event.kind, s.event.audience.kind) for s in sent)
    direct = [s.event for s in sent if s.event.audience.kind == "dm"]

    assert set(placed) == {
        ("message", "dm"),
        ("message", "group"),
        ("comment", "public"),
        ("post", "public"),
    }
    assert min(placed.values()) > 1000
    assert len({s.event.actor.id for s in sent}) > 3000
    assert {len(e.audience.recipient_ids) for e in direct} == {1}
    assert [e.id for e in direct if e.actor.id in e.audience.recipient_ids] == []


def test_phone_numbers_are_invented(sent: list[Sent]) -> None:
    """Every longer run of digits outside a link is one of the reserved patterns."""
    texts = [regex.sub(r"(?:https?://|www\.)\S+", "", s.event.text, flags=regex.I) for s in sent]
    runs = {
        regex.sub(r"\D", "", run)
        for text in texts
        for run in regex.findall(r"\+?\d[\d \-]{7,}\d", text)
    }

    assert len(runs) > 20
    assert [r for r in runs if not regex.match(r"010000|6010000|08100000|62810000", r)] == []


@pytest.mark.parametrize("tag", sorted(LANGUAGES))
def test_there_are_enough_sentences(shipped: Sentences, tag: str) -> None:
    """Each language has 60 ordinary sentences, 10 hard negatives and 8 for each harmful family."""

    def count(by_language: dict[str, tuple[object, ...]]) -> int:
        return sum(len(v) for k, v in by_language.items() if k.partition("-")[0] == tag)

    families = {
        family: sum(
            len(sentences)
            for (of, key), sentences in shipped.harmful.items()
            if of == family and key.partition("-")[0] == tag
        )
        for family in FAMILIES
    }

    assert count(shipped.ordinary) >= 60
    assert count(shipped.hard_negatives) >= 10
    assert min(families.values()) >= 8, families


@pytest.mark.parametrize("disguise", [styled, look_alike, spaced])
def test_a_disguise_hides_the_words_and_folding_finds_them(disguise: object) -> None:
    """Disguised words no longer contain the plain ones, yet read the same."""
    assert callable(disguise)
    hidden = disguise("free kredit MAXWIN")
    folded = fold(hidden)

    assert "kredit" not in hidden
    assert "kredit" in (folded.squeezed or folded.text).replace("  ", " ")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("Jom makan {food}", "Jom makan {fod}", "no slot `fod` for `ms`"),
        ("Jom makan {food}", "Jom makan {food", "unmatched `{`"),
        ("[free kredit] {bonus} untuk", "[free kredit {bonus} untuk", "unmatched `[`"),
        ("gambling = 40", "gaming = 40", "family `gambling` is not in `families`"),
        ("zh = 3.5", "xx = 3.5", "nothing in `xx`"),
        ("ta-Latn = 6", "jv = 6", "no sentence in `jv`"),
        ("canary = { dm = 0, group = 0, public = 1 }", "", "no audience for `canary`"),
        ("emoji = [", "smiley = [", "missing slot `emoji`"),
        ("link = 0.08", "links = 0.08", "unknown key `links`"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(old: str, new: str, problem: str) -> None:
    """An editor of the sentences is told the line and what is wrong with it."""
    error = refused(old, new)

    assert problem in error.problem
    assert error.line > 1


def test_an_error_names_the_line_of_the_sentence() -> None:
    """The line is the sentence's own, not its list's."""
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    expected = 1 + next(i for i, line in enumerate(lines) if "Jom makan {food} kat" in line)

    assert refused("Jom makan {food} kat", "Jom makan {fod} kat").line == expected
