"""Texts that read like a known scam: a pretext or an offer, a demand, and a way to answer."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from detectors.contacts import ways
from detectors.contract import Candidate, Pattern
from detectors.folding import FoldedBatch
from detectors.lexicon import Lexicon, reach, span, summed
from detectors.wording import Wording
from schemas import Evidence, Finding

FLOOR: Final = 0.4
"""Below this a text is not worth a finding, whatever the policy's thresholds."""

_FAMILY: Final = "fraud"
"""The label of terms any scam may share: contacts, sums, urgency, and the wording of warnings."""

_ANCHORS: Final = {
    "fraud.phishing": {"prize", "pretext", "secret", "premium"},
    "fraud.impersonation": {"accusation", "demand", "kin", "takeover"},
    "fraud.investment": {"return", "proof", "capital"},
    "fraud.job_task": {"task", "remote", "pay", "deposit"},
    "fraud.romance_parcel": {"parcel", "wealth", "rescue", "persona"},
    "fraud.loan_ecommerce": {"loan", "easy", "upfront", "bargain", "bypass"},
    "fraud.malware_apk": {"apk"},
    "fraud.mule_recruitment": {"account"},
}
"""The groups of which one must be there: without it the rest is any advert or notice."""

LEAST_ANCHOR: Final = 0.3
"""A lighter term is looked for only in texts that hold a heavier one, or read like a scam."""

_KINDS: Final = {
    "fraud.phishing": "phishing",
    "fraud.impersonation": "somebody posing as an authority or an acquaintance",
    "fraud.investment": "an investment scam",
    "fraud.job_task": "a job or task scam",
    "fraud.romance_parcel": "a romance or parcel scam",
    "fraud.loan_ecommerce": "a loan or shopping scam",
    "fraud.malware_apk": "a lure to install an app from outside a store",
    "fraud.mule_recruitment": "recruitment of bank accounts",
}


class ScamTexts:
    """Find texts that read like a scam: phishing, impersonation, investment, job, romance, loan.

    Also app lures and mule accounts. Scores the funnel and not the word: what the text claims
    or offers, what it demands, how it wants to be answered, how much it hurries. Warnings, news,
    victims' reports and the risk notices of licensed firms count against it.

    Misses: scams told over many messages, a friendly opening without an offer, scams in a voice
    message or a picture, wording that is not in `detectors/lexicons/fraud*.toml`, languages other
    than Malay, Indonesian, English, Chinese and Tamil; a scam that copies a warning.
    """

    name: Final = "scam_texts"
    labels: Final = frozenset(_KINDS)

    def __init__(self, lexicon: Lexicon | None = None) -> None:
        """Use the shipped lexicon unless given another.

        Raises:
            DocumentError: if the shipped lexicon is malformed.
        """
        self._lexicon = lexicon or Lexicon.shipped(_FAMILY)
        self.lexicons = (self._lexicon,)
        self._wording = Wording(_FAMILY, _FAMILY, FLOOR, _KINDS)
        self.version = f"2+{self._lexicon.digest}+{self._wording.version}"
        self.patterns: Sequence[Pattern] = self._lexicon.patterns(
            lambda term: term.group in _ANCHORS.get(term.label, ()) and term.weight >= LEAST_ANCHOR
        )

    @property
    def least_reach(self) -> float:
        """What terms have to add up to in a text that was not chosen by its wording."""
        return self._wording.least_terms

    def reach(self, ids: AbstractSet[str], *, is_disguised: bool) -> float:  # noqa: ARG002  # of the contract
        """Return what the heaviest term of each group could add up to."""
        seen = [self._lexicon.terms[id_] for id_ in ids]
        anchored = {t.label for t in seen if t.group in _ANCHORS.get(t.label, ())}
        return max(
            reach([t for t in seen if t.label in (label, _FAMILY)])
            for label in (*sorted(anchored), _FAMILY)
        )

    def opens(self, texts: FoldedBatch) -> Sequence[int]:
        """Choose the texts to be read closely."""
        return self._wording.opens(texts)

    def reads(self, texts: FoldedBatch) -> Mapping[int, float]:
        """Choose the texts that read like scams, and say what terms have to add."""
        return self._wording.wanting(texts)

    def terms(self, candidate: Candidate) -> float:
        """Return the sum of the terms, without wording, of the kind of scam they tell most of; -2..2."""
        return summed(self._best(candidate)[1])

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield, for each event that reads like a scam, the kind it reads most like."""
        margins = self._wording.margins([candidate.folded for candidate in candidates])
        for candidate, margin in zip(candidates, margins, strict=True):
            label, terms = self._best(candidate)
            score, evidence = self._wording.join(candidate.folded, margin, terms)
            if score:
                label = label or self._wording.kind(candidate.folded)
                yield candidate, self._finding(label, evidence, score, candidate)

    def _best(self, candidate: Candidate) -> tuple[str, tuple[Evidence, ...]]:
        """Return the kind that the terms tell most of, empty if they tell of none, and its evidence."""
        shared = self._lexicon.weigh(candidate, _FAMILY)
        hit = {self._lexicon.terms[match.pattern.id].label for match in candidate.matches}
        own = {label: self._lexicon.weigh(candidate, label) for label in sorted(hit - {_FAMILY})}
        anchored = {
            label: evidence
            for label, evidence in own.items()
            if not _ANCHORS[label].isdisjoint(self._lexicon.terms[e.term].group for e in evidence)
        }
        if not anchored:
            return "", shared
        label = max(anchored, key=lambda kind: summed(anchored[kind]))
        return label, (*anchored[label], *shared)

    def _finding(
        self, label: str, evidence: tuple[Evidence, ...], score: float, candidate: Candidate
    ) -> Finding:
        start, end = span(evidence)
        return Finding(
            detector=self.name,
            version=self.version,
            label=label,
            score=score,
            start=start,
            end=end,
            reason=f"reads like {_KINDS[label]}: {self._groups(evidence)}"
            + self._wording.concepts(candidate.folded, evidence),
            evidence=evidence,
            attributes=ways(candidate.folded),
        )

    def _groups(self, evidence: Sequence[Evidence]) -> str:
        """Name what was seen, in words of the lexicon's groups and never of the text."""
        terms = (self._lexicon.terms.get(e.term) for e in evidence if e.weight > 0)
        groups = (term.group if term else "wording" for term in terms)
        return ", ".join(dict.fromkeys(group.replace("_", " ") for group in groups))
