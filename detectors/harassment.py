"""Harassment, threats and exposure: abuse aimed at a person, not rude words.

Swearing at a printer, at oneself or among friends is no harassment. Terms are therefore written
with the person they are aimed at ("you are ...", a name called), and a bare insult counts only
where the platform or the text says whom it hits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from detectors.contract import Candidate
from detectors.folding import FoldedBatch
from detectors.lexicon import Lexicon, Term, reach, span, summed, total
from detectors.wording import Wording
from schemas import Evidence, Finding

HARASSMENT: Final = "bullying.harassment"
DOXXING_OR_THREAT: Final = "bullying.doxxing_or_threat"
LABELS: Final = (HARASSMENT, DOXXING_OR_THREAT)
_FAMILY: Final = "bullying"

LEAST_SCORE: Final = 0.25
"""Below it there is no finding: a rude word and somebody to hear it."""

TARGET_WEIGHT: Final = 0.1
MENTION_WEIGHT: Final = 0.05

_MENTION: Final = "harassment.und.mention"
_GROUNDS: Final = {
    HARASSMENT: {
        "insult": "an insult aimed at someone",
        "looks": "an attack on someone's looks",
        "contempt": "disgust at someone",
        "exclusion": "telling someone that nobody wants them",
        "banished": "telling someone to stay away",
        "third": "an insult about someone",
        "selfharm": "urging someone to harm themselves",
        "rally": "calling on others to join in",
        "bare": "an insult where someone is addressed",
    },
    DOXXING_OR_THREAT: {
        "violence": "a threat of violence",
        "located": "a claim to know or wait at someone's place",
        "warning": "a warning to someone",
        "exposure": "a threat to expose someone",
        "publish": "publishing someone's personal data",
        "whereabouts": "where someone lives or studies, or how to reach them",
        "occasion": "a time and place",
        "rally": "calling on others to join in",
        "personal_data": "an identity number, phone number or address",
    },
}
_READS: Final = "reads as if aimed at a person"
_GROUNDLESS: Final = {
    HARASSMENT: frozenset({"banished", "third"}),
    DOXXING_OR_THREAT: frozenset({"rally", "personal_data", "whereabouts", "occasion"}),
}
"""Never the whole of a finding: numbers, addresses, "share this", "after school" are everywhere."""
_EXPOSING: Final = frozenset({"rally", "whereabouts"})
"""Together these are more than either: whom to find where, and a call to do so."""


def _is_anchor(term: Term) -> bool:
    """Say whether a finding can rest on a term; exposing someone always takes a call on others."""
    if term.label == DOXXING_OR_THREAT and term.group == "rally":
        return True
    return term.group in _GROUNDS[term.label].keys() - _GROUNDLESS[term.label]


class Harassment:
    """Find insults, exclusion, urging to self-harm, threats and publishing of personal data that
    are aimed at a person. Malay, Indonesian, English, Chinese, Tamil; Malaysian identity card
    numbers by their shape.

    One kind alone stays below review, except urging someone to kill themselves. Quotation, talk
    against bullying, comfort and plain banter count against it. The numbers of an identity card
    (birth date, place of birth code, four digits) count only beside wording that publishes them
    about someone else. An insult about a third person, or telling someone to stay away, counts only
    beside something else; where someone lives, only beside a call on others to act.

    Wording as in known abuse adds to the terms' sum, or stands for them where there are none.

    Misses: most of what is phrased freely (of messages written apart from the lexicon and the
    model, 28 to 40 in 100 reached review, by language); irony, in-jokes, nicknames, insults by comparison
    or by picture; one short insult repeated by many (the memory over targets is for that); slurs,
    which are in no list here; data published without a word about whose it is. May call harsh
    banter between friends harassment.
    """  # noqa: D205 - the first sentence is the page's first paragraph

    name: Final = "harassment"
    labels: Final = frozenset(LABELS)

    def __init__(self) -> None:
        """Load the shipped lexicon and the shipped model of wording.

        Raises:
            DocumentError: if it is malformed.
        """
        self._lexicon = Lexicon.shipped("harassment")
        self.lexicons = (self._lexicon,)
        self._wording = Wording(_FAMILY, _FAMILY, LEAST_SCORE, LABELS)
        self.version = f"2+{self._lexicon.digest}+{self._wording.version}"
        self.patterns = self._lexicon.patterns(_is_anchor)

    @property
    def least_reach(self) -> float:
        """What terms have to add up to in a text that was not chosen by its wording."""
        return min(self._wording.least_terms, LEAST_SCORE)

    def reach(self, ids: AbstractSet[str], *, is_disguised: bool) -> float:  # noqa: ARG002  # of the contract
        """Return what terms on which a finding can rest could add up to, with a target."""
        seen = [self._lexicon.terms[id_] for id_ in ids if id_ != _MENTION]
        most = 0.0
        for label, groundless in _GROUNDLESS.items():
            own = [term for term in seen if term.label == label]
            groups = {term.group for term in own if term.weight > 0}
            rests = not groups <= groundless or groups >= _EXPOSING
            if rests:
                most = max(most, reach(own) + TARGET_WEIGHT)
        return most

    def opens(self, texts: FoldedBatch) -> Sequence[int]:
        """Choose the texts to be read closely."""
        return self._wording.opens(texts)

    def reads(self, texts: FoldedBatch) -> Mapping[int, float]:
        """Choose the texts that read as if aimed at a person, and say what terms have to add.

        Terms alone can be enough, where wording is not asked.
        """
        wanting = self._wording.wanting(texts)
        return {position: min(terms, LEAST_SCORE) for position, terms in wanting.items()}

    def terms(self, candidate: Candidate) -> float:
        """Return the sum of the terms, without wording, of the label they tell most of; -2..2."""
        return max(summed(self._evidence(candidate, label)) for label in LABELS)

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield, for each candidate, at most one finding of each label.

        Wording adds to the label that terms tell most of, or that the text reads most like; to none where
        a term speaks against it. It cannot tell quoting an insult from using it.
        """
        margins = self._wording.margins([candidate.folded for candidate in candidates])
        for candidate, margin in zip(candidates, margins, strict=True):
            terms = {label: self._evidence(candidate, label) for label in LABELS}
            likeliest = max(LABELS, key=lambda label: total(terms[label]))
            if not total(terms[likeliest]) and self._wording.score(margin, 0.0):
                likeliest = self._wording.kind(candidate.folded)
            is_doubtful = any(e.weight < 0 for evidence in terms.values() for e in evidence)
            for label in LABELS:
                score, evidence = total(terms[label]), terms[label]
                if label == likeliest and not is_doubtful:
                    score, evidence = self._wording.join(candidate.folded, margin, evidence)
                if score >= LEAST_SCORE:
                    yield candidate, self._finding(candidate, label, evidence, score)

    def _evidence(self, candidate: Candidate, label: str) -> tuple[Evidence, ...]:
        """Weigh the terms of a label; where nobody is aimed at, those that speak against it."""
        seen = [e for e in self._lexicon.weigh(candidate, label) if e.term != _MENTION]
        target = tuple(_target(candidate))
        against = tuple(e for e in seen if e.weight < 0)
        groups = {self._group(e) for e in seen if e.weight > 0}
        if "insult" in groups or not target:
            groups.discard("bare")
        exposes = groups >= _EXPOSING
        if groups <= _GROUNDLESS[label] and not exposes:
            return against
        if not exposes and groups.isdisjoint({"publish", "exposure"}):
            groups.discard("personal_data")
        if not exposes:
            groups.discard("whereabouts")
        if not groups:
            return against
        return (*(e for e in seen if e.weight < 0 or self._group(e) in groups), *target)

    def _finding(
        self, candidate: Candidate, label: str, evidence: tuple[Evidence, ...], score: float
    ) -> Finding:
        start, end = span([e for e in evidence if e.weight > 0])
        groups = dict.fromkeys(self._group(e) for e in evidence if e.weight > 0)
        grounds = [_GROUNDS[label][g] for g in groups if g in _GROUNDS[label]] or [_READS]
        return Finding(
            detector=self.name,
            version=self.version,
            label=label,
            score=score,
            start=start,
            end=end,
            reason=", ".join(grounds) + self._wording.concepts(candidate.folded, evidence),
            evidence=evidence,
        )

    def _group(self, evidence: Evidence) -> str:
        term = self._lexicon.terms.get(evidence.term)
        return term.group if term else ""


def _target(candidate: Candidate) -> Iterator[Evidence]:
    """Say by what, besides the wording, it is clear that someone in particular is meant."""
    event = candidate.event
    mention = next((m for m in candidate.matches if m.pattern.id == _MENTION), None)
    if event.target is not None:
        yield Evidence("harassment.target", TARGET_WEIGHT)
    elif mention is not None:
        yield Evidence(_MENTION, MENTION_WEIGHT, mention.start, mention.end)
    elif event.in_reply_to is not None:
        yield Evidence("harassment.reply", MENTION_WEIGHT)
