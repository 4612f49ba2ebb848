"""Texts that read like a known scam: a pretext or an offer, a demand, and a way to answer."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from detectors.contract import Candidate, Pattern
from detectors.lexicon import Lexicon, reach, span, total
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
        self.version = f"1+{self._lexicon.digest}"
        self.patterns: Sequence[Pattern] = self._lexicon.patterns(
            lambda term: term.group in _ANCHORS.get(term.label, ())
        )

    def may_find(self, ids: AbstractSet[str], *, is_disguised: bool) -> bool:  # noqa: ARG002  # of the contract
        """Say whether the heaviest term of each group, together, could reach `FLOOR`."""
        seen = [self._lexicon.terms[id_] for id_ in ids]
        return any(
            reach([t for t in seen if t.label in (label, _FAMILY)]) >= FLOOR
            for label in {t.label for t in seen if t.group in _ANCHORS.get(t.label, ())}
        )

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield a finding for every kind of scam an event reads like."""
        for candidate in candidates:
            hit = {self._lexicon.terms[match.pattern.id].label for match in candidate.matches}
            for label in sorted(hit - {_FAMILY}):
                finding = self._judged(candidate, label)
                if finding is not None:
                    yield candidate, finding

    def _judged(self, candidate: Candidate, label: str) -> Finding | None:
        own = self._lexicon.weigh(candidate, label)
        if _ANCHORS[label].isdisjoint(self._lexicon.terms[e.term].group for e in own):
            return None
        shared = self._lexicon.weigh(candidate, _FAMILY)
        evidence = tuple(sorted((*own, *shared), key=lambda e: (e.start, e.end, e.term)))
        score = total(evidence)
        if score < FLOOR:
            return None
        start, end = span(evidence)
        return Finding(
            detector=self.name,
            version=self.version,
            label=label,
            score=score,
            start=start,
            end=end,
            reason=f"reads like {_KINDS[label]}: {self._groups(evidence)}",
            evidence=evidence,
        )

    def _groups(self, evidence: Sequence[Evidence]) -> str:
        """Name what was seen, in words of the lexicon's groups and never of the text."""
        groups = (self._lexicon.terms[e.term].group for e in evidence)
        return ", ".join(dict.fromkeys(group.replace("_", " ") for group in groups))
