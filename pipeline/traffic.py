"""Simulated traffic: an invented platform's talk, with what ought to be escalated of it.

A demonstration or a load test needs a stream that looks like people without being anybody's
writing. The sentences are data (`traffic.toml`); this module fills their slots, disguises what
promoters disguise, and places each text with an actor, an audience and a conversation. The same
seed gives the same stream.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from itertools import accumulate, count, product
from pathlib import Path
from random import Random
from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec
import regex

from schemas import Actor, Audience, Conversation, Event, Space, Target
from schemas.document import Document
from schemas.event import AgeBand

T = TypeVar("T")

AudienceKind = Literal["dm", "group", "public"]

CANARY: Final = "PENJAGA-CANARY-7f3a91c4"
"""The fixed string that `detectors.canary` finds."""

PLATFORM: Final = "simulated"

_INTERVAL_MICROSECONDS: Final = 40_000
"""The longest simulated time between two events; the mean of 20 ms is 50 events a second."""

_MARKUP: Final = regex.compile(
    r"\[(?P<marked>[^\[\]]+)\]|\{(?P<slot>[a-z_]+)\}|(?P<literal>[^\[\]{}]+)|(?P<stray>.)",
)
_LINK: Final = regex.compile(r"https?://\S+")


class Sent(msgspec.Struct, frozen=True):
    """One event and the labels that ought to be escalated for it: none for ordinary talk.

    `template` names the sentence in `traffic.toml` that it was made from.
    """

    event: Event
    expected: tuple[str, ...]
    template: str


def traffic(seed: int, *, start: datetime) -> Iterator[Sent]:
    """Simulate a platform without end from `start` on, in order of time.

    Raises:
        ValueError: if `start` has no time zone.
        DocumentError: if `traffic.toml` cannot be used.
    """
    if start.tzinfo is None:
        raise ValueError("`start` needs a time zone")
    return _stream(seed, start, sentences())


def to_bytes(event: Event) -> bytes:
    """Encode an event as a platform would send it: canonical JSON, UTF-8, defaults left out."""
    return _ENCODER.encode(event)


_ENCODER: Final = msgspec.json.Encoder()


_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Weights = Annotated[dict[str, Annotated[float, msgspec.Meta(gt=0)]], msgspec.Meta(min_length=1)]
_Texts = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1)], ...], msgspec.Meta(min_length=1)
]


class _Shares(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    harmful: _Share
    canary: _Share
    hard_negative: _Share
    link: _Share
    emoji: _Share
    opener: _Share
    closer: _Share
    disguise: _Share
    advertising_emoji: _Share


class _Languages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ordinary: _Weights
    harmful: _Weights


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    shares: _Shares
    languages: _Languages
    families: _Weights
    audiences: dict[str, dict[AudienceKind, float]]
    slots: dict[str, dict[str, _Texts]]
    openers: dict[str, _Texts]
    closers: dict[str, _Texts]
    ordinary: dict[str, _Texts]
    hard_negatives: dict[str, _Texts]
    harmful: dict[str, dict[str, _Texts]]


class _Part(msgspec.Struct, frozen=True):
    """A run of a sentence: each piece's possible texts; `is_marked` where promoters disguise."""

    pieces: tuple[tuple[str, ...], ...]
    is_marked: bool


class Sentence(msgspec.Struct, frozen=True):
    """A template ready to be filled."""

    id: str
    language: str
    labels: tuple[str, ...]
    parts: tuple[_Part, ...]


class _Weighted(Generic[T]):
    """A choice among values by weight."""

    def __init__(self, weights: Mapping[T, float]) -> None:
        self._values = tuple(weights)
        self._cumulative = tuple(accumulate(weights.values()))

    def pick(self, random: Random) -> T:
        return random.choices(self._values, cum_weights=self._cumulative)[0]


class Sentences:
    """The checked and prepared content of `traffic.toml`."""

    def __init__(self, document: Document) -> None:
        """Read and prepare.

        Raises:
            DocumentError: at the first value that is malformed, slot that does not exist, or
                language or family that has nothing to say.
        """
        file = document.to(_File)
        self._document = document
        self.slots = file.slots
        self.shares = file.shares
        self.openers = file.openers
        self.closers = file.closers
        self.ordinary = self._by_language(("ordinary",), file.ordinary, "ordinary", ())
        self.hard_negatives = self._by_language(
            ("hard_negatives",), file.hard_negatives, "hard_negative", ()
        )
        self.harmful: dict[tuple[str, str], tuple[Sentence, ...]] = {}
        for label, texts in file.harmful.items():
            family = label.partition(".")[0]
            if family not in file.families:
                raise document.error(("harmful", label), f"family `{family}` is not in `families`")
            prepared = self._by_language(("harmful", label), texts, label, (label,))
            for language, ready in prepared.items():
                key = (family, language)
                self.harmful[key] = (*self.harmful.get(key, ()), *ready)
        self._require(file)
        self.ordinary_language = _Weighted(file.languages.ordinary)
        self.harmful_language = _Weighted(file.languages.harmful)
        self.family = _Weighted(file.families)
        self.audiences = {name: _Weighted(kinds) for name, kinds in file.audiences.items()}
        self.links = self._slot("link", "und") or ()
        self.emoji = self._slot("emoji", "und") or ()

    def _by_language(
        self,
        path: tuple[str, ...],
        texts: Mapping[str, tuple[str, ...]],
        name: str,
        labels: tuple[str, ...],
    ) -> dict[str, tuple[Sentence, ...]]:
        return {
            language: tuple(
                Sentence(
                    f"{name}.{language}.{index + 1}",
                    language,
                    labels,
                    tuple(self._parts(text, language, (*path, language, index))),
                )
                for index, text in enumerate(listed)
            )
            for language, listed in texts.items()
        }

    def _parts(self, text: str, language: str, path: tuple[str | int, ...]) -> Iterator[_Part]:
        for run in _MARKUP.finditer(text):
            is_marked = run["marked"] is not None
            pieces: list[tuple[str, ...]] = []
            for piece in _MARKUP.finditer(run["marked"] or run[0]):
                if piece["stray"] is not None or piece["marked"] is not None:
                    raise self._document.error(path, f"unmatched `{piece[0]}`")
                texts = self._slot(piece["slot"], language) if piece["slot"] else (piece[0],)
                if texts is None:
                    raise self._document.error(path, f"no slot `{piece['slot']}` for `{language}`")
                pieces.append(texts)
            yield _Part(tuple(pieces), is_marked)

    def _slot(self, name: str, language: str) -> tuple[str, ...] | None:
        for tag in (language, language.partition("-")[0], "und"):
            if name in self.slots.get(tag, {}):
                return self.slots[tag][name]
        return None

    def _require(self, file: _File) -> None:
        """Refuse a file in which a draw could find nothing to say."""
        for name in ("link", "emoji"):
            if self._slot(name, "und") is None:
                raise self._document.error(("slots", "und"), f"missing slot `{name}`")
        for name in ("ordinary", "canary", *file.families):
            if not any(file.audiences.get(name, {}).values()):
                raise self._document.error(("audiences",), f"no audience for `{name}`")
        for section in ("ordinary", "hard_negatives", "openers", "closers"):
            silent = set(file.languages.ordinary) - set(getattr(file, section))
            if silent:
                raise self._document.error((section,), f"nothing in `{min(silent)}`")
        missing = set(product(file.families, file.languages.harmful)) - set(self.harmful)
        if missing:
            family, language = min(missing)
            raise self._document.error(("families", family), f"no sentence in `{language}`")


@cache
def sentences() -> Sentences:
    """Load the shipped `traffic.toml`.

    Raises:
        DocumentError: if it cannot be used.
    """
    return Sentences(Document.read(Path(__file__).with_name("traffic.toml")))


def _stream(seed: int, start: datetime, data: Sentences) -> Iterator[Sent]:
    random = Random(seed)  # noqa: S311  # a simulation, and it must repeat
    town = _Town(random, start)
    moment = start
    for number in count(1):
        moment += timedelta(microseconds=1 + int(random.random() * _INTERVAL_MICROSECONDS))
        said = _say(random, data)
        kind = data.audiences[said.family].pick(random)
        event = town.place(f"sim-{seed}-{number:09d}", moment, said, kind)
        yield Sent(event, said.labels, said.template)


class _Said(msgspec.Struct, frozen=True):
    """A text before anybody has written it; `family` is a harmful one, `ordinary` or `canary`."""

    text: str
    family: str
    template: str
    language: str | None = None
    labels: tuple[str, ...] = ()


def _say(random: Random, data: Sentences) -> _Said:
    shares = data.shares
    draw = random.random()
    if draw < shares.canary:
        return _Said(CANARY, "canary", "canary", labels=("canary.seen",))
    if draw < shares.canary + shares.harmful:
        family = data.family.pick(random)
        sentence = _pick(random, data.harmful[family, data.harmful_language.pick(random)])
        disguise = _pick(random, _DISGUISES) if random.random() < shares.disguise else None
        emoji = shares.advertising_emoji if family in _ADVERTISED else 0.0
        text = _typed(random, fill(random, sentence, disguise), data, emoji)
        return _Said(text, family, sentence.id, sentence.language, sentence.labels)
    language = data.ordinary_language.pick(random)
    is_hard = random.random() < shares.hard_negative
    sentence = _pick(random, (data.hard_negatives if is_hard else data.ordinary)[language])
    text = _casual(random, fill(random, sentence), language, data)
    return _Said(text, "ordinary", sentence.id, language)


def fill(
    random: Random,
    sentence: Sentence,
    disguise: Callable[[str], str] | None = None,
) -> str:
    """Fill a sentence's slots, disguising its marked parts."""
    out: list[str] = []
    for part in sentence.parts:
        words: list[str] = []
        for texts in part.pieces:
            text = _slot_text(random, texts)
            if text in out:
                # "From Ipoh to Ipoh": one more draw makes it rare enough.
                text = _slot_text(random, texts)
            words.append(text)
        if part.is_marked and disguise is not None:
            out.append(disguise("".join(words)))
        else:
            out += words
    return "".join(out)


def _slot_text(random: Random, texts: tuple[str, ...]) -> str:
    if len(texts) == 1:
        # A literal, where `#` may be somebody's hashtag.
        return texts[0]
    text = _pick(random, texts)
    if "#" not in text:
        return text
    return "".join(str(1 + int(random.random() * 9)) if c == "#" else c for c in text)


def _casual(random: Random, text: str, language: str, data: Sentences) -> str:
    """Add what people add to ordinary talk: an opener, a closer, an emoji, a link."""
    shares = data.shares
    if random.random() < shares.opener:
        text = f"{_pick(random, data.openers[language])} {text}"
    if random.random() < shares.closer:
        text = f"{text} {_pick(random, data.closers[language])}"
    text = _typed(random, text, data, shares.emoji)
    if random.random() < shares.link:
        text = f"{text} {_slot_text(random, data.links)}"
    return text


def _typed(random: Random, text: str, data: Sentences, emoji: float) -> str:
    """Leave out capitals or hold the shift key, and perhaps end on an emoji or three."""
    case = random.random()
    if case < _LOWER_SHARE:
        text = text.lower()
    elif case > 1 - _UPPER_SHARE:
        text = text.upper()
    if random.random() < emoji:
        text = f"{text} {_pick(random, data.emoji) * (1 + int(random.random() * 3))}"
    return text


_LOWER_SHARE: Final = 0.4
_UPPER_SHARE: Final = 0.02


class _Place(msgspec.Struct, frozen=True):
    audience: Audience
    space: Space
    conversation: Conversation


class _Town:
    """Who writes where. A few accounts write most of what is harmful, and new ones more often."""

    def __init__(self, random: Random, start: datetime) -> None:
        self._random = random
        self._members = tuple(
            Actor(
                id=f"u-{10_000 + number}",
                created_at=start - timedelta(days=30 + int(random.random() * 3000)),
                age_band=_MEMBER_AGES.pick(random),
            )
            for number in range(4000)
        )
        self._suspects = tuple(
            Actor(
                id=f"u-{20_000 + number}",
                created_at=start - timedelta(hours=1 + int(random.random() * 900)),
                age_band=_SUSPECT_AGES.pick(random),
            )
            for number in range(90)
        )
        self._groups = tuple(
            _Place(
                Audience(kind="group", size=3 + int(random.random() ** 3 * 2000)),
                Space(f"g-{number}"),
                Conversation(f"g-{number}"),
            )
            for number in range(300)
        )
        self._pages = tuple(
            _Place(
                Audience(kind="public", size=50 + int(random.random() ** 3 * 500_000)),
                Space(f"p-{number // 20}", "channel" if number % 3 else "page"),
                Conversation(f"p-{number // 20}-{number}"),
            )
            for number in range(1200)
        )

    def place(
        self,
        id_: str,
        moment: datetime,
        said: _Said,
        audience: AudienceKind,
    ) -> Event:
        """Give a text its writer, its readers and its conversation."""
        random, family, text = self._random, said.family, said.text
        actor = _pick(random, self._members if family == "ordinary" else self._suspects)
        while (other := _pick(random, self._members)) is actor:
            pass
        is_linked = "http" in text and random.random() < _HINTED_SHARE
        is_ad = audience == "public" and family in _ADVERTISED and random.random() < _AD_SHARE
        kind = "message"
        parent: str | None = None
        if audience == "dm":
            age = _APPROACHED_AGES.pick(random) if family == "csea" else other.age_band
            where = Audience(kind="dm", size=2, recipient_ids=(other.id,), recipient_age_band=age)
            low, high = sorted((actor.id, other.id))
            conversation, space = Conversation(f"dm-{low}-{high}"), None
        else:
            place = _pick(random, self._groups if audience == "group" else self._pages)
            where, conversation, space = place.audience, place.conversation, place.space
            if audience == "public":
                kind = "post" if is_ad or random.random() < _POST_SHARE else "comment"
                parent = f"post-{conversation.id}" if kind == "comment" else None
        return Event(
            id=id_,
            platform=PLATFORM,
            kind=kind,
            occurred_at=moment,
            text=text,
            actor=actor,
            audience=where,
            conversation=conversation,
            space=space,
            in_reply_to=parent,
            target=Target(other.id) if family == "bullying" else None,
            language=said.language if random.random() < _HINTED_SHARE else None,
            links=tuple(_LINK.findall(text)) if is_linked else (),
            is_ad=is_ad,
            attributes=_ATTRIBUTES,
        )


_POST_SHARE: Final = 0.3
_AD_SHARE: Final = 0.2
_HINTED_SHARE: Final = 0.5
"""Platforms name the language and list the links of some texts only."""

_ADVERTISED: Final = frozenset({"gambling", "fraud"})
_ATTRIBUTES: Final[dict[str, str | int | float | bool | None]] = {"simulated": True}
_MEMBER_AGES: Final = _Weighted[AgeBand]({"unknown": 80, "adult": 15, "minor": 5})
_SUSPECT_AGES: Final = _Weighted[AgeBand]({"unknown": 85, "adult": 15})
_APPROACHED_AGES: Final = _Weighted[AgeBand]({"unknown": 60, "minor": 40})


def _pick(random: Random, values: tuple[T, ...]) -> T:
    # `Random.choice` gives the same at four times the cost.
    return values[int(random.random() * len(values))]


def styled(text: str) -> str:
    """Write ASCII letters and digits in mathematical bold: U+1D5D4 for A."""
    return text.translate(_STYLED)


def look_alike(text: str) -> str:
    """Swap Latin letters for the Cyrillic ones that look like them."""
    return text.translate(_LOOK_ALIKE)


def spaced(text: str) -> str:
    """Put a blank between letters and three between words; leave words that are not ASCII alone."""
    return "   ".join(" ".join(word) if word.isascii() else word for word in text.split())


_STYLED: Final = {
    **{ord("A") + i: 0x1D5D4 + i for i in range(26)},
    **{ord("a") + i: 0x1D5EE + i for i in range(26)},
    **{ord("0") + i: 0x1D7EC + i for i in range(10)},
}
_LOOK_ALIKE: Final = {
    ord(latin): code
    for latin, code in zip(
        "AaBCcEeHIiKMOoPpSsTXxy",
        (
            0x410,
            0x430,
            0x412,
            0x421,
            0x441,
            0x415,
            0x435,
            0x41D,
            0x406,
            0x456,
            0x41A,
            0x41C,
            0x41E,
            0x43E,
            0x420,
            0x440,
            0x405,
            0x455,
            0x422,
            0x425,
            0x445,
            0x443,
        ),
        strict=True,
    )
}
_DISGUISES: Final = (styled, look_alike, spaced)
