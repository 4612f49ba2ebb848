"""Hostile input: whatever it is, it becomes a value or the error that is promised, and nothing else.

`make fuzz` tries many more, other ones each time.
"""

import string
from functools import cache
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from detectors.folding import fold
from detectors.lexicon import Lexicon
from detectors.links import find_links, parse_link
from pipeline.feed import Feed
from pipeline.feed_formats import FormatError, items
from pipeline.line import Line, line
from pipeline.memory import Memory, MemoryVersionError, decoded
from pipeline.options import cache_folder
from pipeline.settings import Settings, SettingsError, load
from schemas import Event, Rejected
from schemas.document import Document, DocumentError
from schemas.source import MappingError, SourceMapping

ROOT = Path(__file__).parents[1]
SHIPPED = (ROOT / "deploy" / "penjaga.toml").read_text(encoding="utf-8").splitlines()
TERMS = """
[[terms]]
id = "gambling.en.spin"
label = "gambling.promotion"
group = "brand"
weight = 0.4
language = "en"
any = ["lucky spin"]
fires = ["try lucky spin now"]
silent = ["spin the wheel"]
[[terms]]
id = "gambling.en.win"
label = "gambling.promotion"
group = "brand"
weight = 0.4
language = "en"
expression = 'win(?:ner|s)?'
fires = ["winner"]
silent = ["loser"]
""".splitlines()
EXPRESSIONS = st.text(alphabet="win(|)*+?[^]{2,}\\pL$:", max_size=24)
ODD = st.sampled_from(
    [
        "",
        "\x00",
        "\ud7ff",
        "[",
        "]",
        '"""',
        "= ",
        "{}",
        "-1",
        "1e999",
        "nan",
        "[[x]]",
        "true",
        "'",
        "\\",
        "#",
    ]
)
PIECES = st.sampled_from(
    [
        "http", "https", "hxxp", "://", "[:]//", "www.", ".", "[.]", "(dot)", " dot ", "titik", "com",
        "com.my", "xn--", "evil", "a" * 300, "%2e", "%", "?u=", "&", "#", "@",
        ":8080", "/", "\\", "1.2.3.4", "0x7f.1",
        "[::1]", "wa.me/", "t.me/", "+60 12-345 6789", "🇲🇾", "\u202e", "\u200b", "ｅ", "é", "\n", "<", ">",
    ]
)  # fmt: skip
"""What links are made of, and what hides them."""
LETTERS = st.sampled_from(
    [
        "a", "B", "4", "@", "$", " ", ".", "-", "s l o t", "sl0t", "77", "\u0301", "\u0336", "\u200d",
        "\u202e", "𝐌", "ⓜ", "Ⅷ", "ﬁ", "ǆ", "ᴍ", "а", "🇲", "🇾", "你", "வோ", "ß", "İ", "²", "\x00", "\ud800",
    ]
)  # fmt: skip
"""What folding takes apart, joins, drops or leaves alone."""
PHRASES = st.sampled_from(
    [
        example
        for family in ("fraud", "gambling", "grooming", "harassment")
        for term in Lexicon.shipped(family).terms.values()
        for example in term.fires
    ]
)
FIELDS = {
    "id": "a", "platform": "b", "kind": "c", "occurred_at": "d", "text": "e", "actor.id": "f",
    "audience.kind": "g",
}  # fmt: skip
RECORD = {
    "a": "m-1", "b": "acme", "c": "message", "d": "2026-01-01T00:00:00Z", "e": "hello", "f": "u-1", "g": "dm",
}  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)
EVENT = {
    "id": "m-1", "platform": "acme", "kind": "message", "occurred_at": "2026-01-01T00:00:00Z",
    "text": "hello", "actor": {"id": "u-1"}, "audience": {"kind": "dm"},
}  # fmt: skip
FEEDS = {
    "plain": Feed(url="file:///x", label="fraud.phishing"),
    "hosts": Feed(url="file:///x", label="fraud.phishing", format="hosts"),
    "adblock": Feed(url="file:///x", label="fraud.phishing", format="adblock"),
    "csv": Feed(url="file:///x", label="fraud.phishing", format="csv", column="a"),
    "json": Feed(url="file:///x", label="fraud.phishing", format="json", field="a.b"),
    "jsonl": Feed(url="file:///x", label="fraud.phishing", format="jsonl", field="a"),
}


@st.composite
def spoilt(draw: st.DrawFn, lines: list[str]) -> str:
    """Draw a document in which some lines are missing, doubled, cut, or hold something odd."""
    kept = list(lines)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(kept) - 1))
        match draw(st.sampled_from(["drop", "double", "cut", "odd", "text"])):
            case "drop":
                kept[at] = ""
            case "double":
                kept.insert(at, kept[at])
            case "cut":
                kept[at] = kept[at][: draw(st.integers(0, len(kept[at])))]
            case "odd":
                kept[at] = kept[at].partition("=")[0] + "= " + draw(ODD)
            case _:
                kept[at] = draw(st.text(alphabet=string.printable, max_size=30))
    return "\n".join(kept)


@given(spoilt(SHIPPED))
def test_any_configuration_is_read_or_refused_by_its_line(tmp_path_factory, content: str) -> None:  # noqa: ANN001
    """The error names the file; what is read is whole."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    path.write_text(content, encoding="utf-8")
    try:
        settings = load(path, {})
    except SettingsError as error:
        assert str(error).startswith(f"{path}:")  # noqa: PT017
    else:
        assert isinstance(settings, Settings)


@given(spoilt(TERMS), EXPRESSIONS)
def test_any_lexicon_is_read_or_refused_by_its_line(content: str, expression: str) -> None:
    """No expression of a term hangs or breaks what reads it."""
    for changed in (content, content.replace("win(?:ner|s)?", expression)):
        try:
            lexicon = Lexicon([Document(changed, "fuzzed.toml")])
            lexicon.check()
        except DocumentError as error:
            assert str(error).startswith("fuzzed.toml:")  # noqa: PT017
        else:
            assert len(lexicon.terms) <= 3


def test_what_is_spoilt_was_sound(tmp_path: Path) -> None:
    """Or nothing but refusals would be seen above."""
    (tmp_path / "sound.toml").write_text("\n".join(SHIPPED), encoding="utf-8")

    assert isinstance(load(tmp_path / "sound.toml", {}), Settings)
    lexicon = Lexicon([Document("\n".join(TERMS), "sound.toml")])
    lexicon.check()
    assert 2 == len(lexicon.terms)
    assert isinstance(SourceMapping.compile(FIELDS).decode(msgspec.json.encode(RECORD)), Event)


@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, "nothing", "actor", "space.name"]),
        st.text(alphabet="abc.[]*0 ", max_size=5),
        max_size=2,
    ),
    st.sets(st.sampled_from(list(FIELDS)), max_size=1),
    st.dictionaries(st.sampled_from(list(RECORD)), JSON, max_size=3) | JSON,
)
def test_any_mapping_is_refused_or_maps_any_record(
    fields: dict[str, str], missing: set[str], record: object
) -> None:
    """What a mapping that was accepted makes of a record is an event or a reason."""
    whole = {name: path for name, path in (FIELDS | fields).items() if name not in missing}
    try:
        mapping = SourceMapping.compile(whole)
    except MappingError as error:
        assert error.field in str(error)  # noqa: PT017
    else:
        changed = RECORD | record if isinstance(record, dict) else record
        assert isinstance(mapping.decode(msgspec.json.encode(changed)), Event | Rejected)


@given(st.binary(max_size=8), st.integers(0, 200), st.integers(0, 200))
def test_any_bytes_in_a_record_are_an_event_or_a_reason(put: bytes, at: int, until: int) -> None:
    """Wherever they stand, and whatever they stand in for."""
    sound = msgspec.json.encode(RECORD)
    start, end = sorted((min(at, len(sound)), min(until, len(sound))))

    decoded_ = SourceMapping.compile(FIELDS).decode(sound[:start] + put + sound[end:])

    assert isinstance(decoded_, Event | Rejected)


@given(st.lists(LETTERS | st.text(max_size=3), max_size=20).map("".join), st.data())
def test_spans_are_those_of_a_slow_reference(text: str, data: st.DataObject) -> None:
    """A character lies where the folded text grows when it is added, and takes what folds to nothing."""
    folded = fold(text)
    grown = [len(fold(text[:at]).text) for at in range(len(text) + 1)]
    start = data.draw(st.integers(0, len(folded.text)))
    end = data.draw(st.integers(start, len(folded.text)))

    first = max(at for at in range(len(text) + 1) if grown[at] <= start)
    last = max(at for at in range(len(text) + 1) if grown[at] < end) + 1 if end > start else first
    while end > start and last < len(text) and grown[last + 1] == grown[last]:
        last += 1

    assert "".join(fold(char).text for char in text) == folded.text
    assert folded.span(start, end) == (first, last)


@cache
def _line() -> Line:
    return line(load(None, {}), cache_folder())


@given(st.lists(PHRASES | LETTERS | PIECES | st.text(max_size=4), max_size=24).map("".join))
def test_every_detector_answers_on_any_text(text: str) -> None:
    """None fails, also where all are asked that choose texts; the policy can decide on what they find."""
    event = msgspec.convert(EVENT | {"text": text}, Event)
    shown = _line().chain.candidates([event], asked_by_all=True)

    for owner, detector in enumerate(_line().chain.detectors):
        candidates = [c for c in shown[owner].values() if c.matches or hasattr(detector, "reads")]
        for candidate, finding in detector.scan(candidates):
            assert 0 <= finding.start <= finding.end <= len(text)
            assert _line().policy.decide(candidate.event, (finding,)) is not None


@given(st.lists(PIECES | st.text(max_size=4), max_size=14).map("".join))
def test_links_lie_within_any_text(text: str) -> None:
    """In order, each in its place, with a host; and what was found can be read again."""
    links = find_links(fold(text))

    assert all(0 <= link.start < link.end <= len(text) for link in links)
    assert all(link.host for link in links)
    assert len(links) <= len(text)
    parse_link(text)


@given(
    st.sampled_from(sorted(FEEDS)), st.binary(max_size=200) | st.text(max_size=200).map(str.encode)
)
def test_any_list_is_taken_apart_or_refused(format_: str, body: bytes) -> None:
    """By every reader; a list that is refused says so."""
    try:
        found = list(items(body, FEEDS[format_]))
    except FormatError as error:
        assert str(error)  # noqa: PT017
    else:
        assert len(found) <= len(body) + 1


@given(st.binary(max_size=200) | JSON.map(msgspec.msgpack.encode) | JSON.map(msgspec.json.encode))
def test_any_memory_is_read_or_refused(content: bytes) -> None:
    """What is on the memory topic may have been written by anybody."""
    try:
        memory = decoded(content)
    except (msgspec.MsgspecError, MemoryVersionError):
        return
    assert isinstance(memory, Memory)
