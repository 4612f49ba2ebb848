"""Grooming cues: the processes by which an adult draws a child in, seen in one message.

Grooming is a pattern over many messages, so a single message rarely says enough. Each process seen
is put on the finding (`processes`), from which the memory over conversations adds up what one
message cannot show.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from detectors.contract import Candidate
from detectors.lexicon import Lexicon, span, total
from schemas import Event, Evidence, Finding

LABEL: Final = "csea.grooming"

PROCESSES: Final = {
    "age_access": "a question about age or school",
    "trust_flattery": "flattery or a plea for trust",
    "gifts": "an offer of gifts",
    "isolation_secrecy": "secrecy towards family or others",
    "risk_check": "a question about who could notice",
    "compliance": "pressure to go along",
    "platform_move": "a move to another platform",
    "picture_request": "a request for pictures or video",
    "meeting": "a proposal to meet",
    "coercion": "a threat to expose",
}
"""The lexicon groups that are grooming processes; the others (`child`, and the counter-cues) are
context."""

CEILING: Final = 0.55
"""The most that one process alone, or several without a sign of a child, may score: below review
(0.6)."""

LIKELY: Final = 0.5
"""How likely a term makes its process, for the memory over conversations: in harmless talk with children
the same words are common. Of 0.2, 0.35, 0.5, 0.7 and 1 the best on development conversations."""

_NAMES_A_CHILD: Final = frozenset(
    {
        "school",
        "school_life",
        "mature",
        "secret_parents",
        "parents_unaware",
        "lie_parents",
        "parents_watch",
        "parents_away",
    }
)
"""Last parts of the ids of terms that only make sense when said to a child."""
_CONCEALMENT: Final = frozenset({"isolation_secrecy", "risk_check", "coercion"})
_CONCEALED: Final = 3
"""So many processes, one of them concealment, need no other sign of a child."""

_DRAWING_IN: Final = _CONCEALMENT | {"picture_request", "gifts", "compliance"}
"""Asking for an age, moving platform and meeting are also what children do among themselves."""
TOGETHER_WEIGHT: Final = 0.1
"""For each process after the first, twice at most, with a sign of a child and one that draws in."""

ADULT_TO_MINOR_WEIGHT: Final = 0.15
MINOR_RECIPIENT_WEIGHT: Final = 0.05


class GroomingCues:
    """Find what an adult who grooms a child may write: questions about age and school, secrecy,
    gifts, moving platform, requests for pictures, meeting alone, pressure. Malay, Indonesian,
    English, Chinese, Tamil.

    One process alone never reaches review; neither do several with nothing that points to a child
    (courting adults ask for pictures and meet), unless three meet and one of them is concealment.
    With a sign of a child, each further process weighs a little more than its wording.
    Advice on safety, accounts of what happened to someone, openness towards parents and family
    surprises count against it. Age bands add weight; an unknown one takes nothing away.

    Misses: half of what is phrased freely (of 25 messages written apart from the lexicon, five a
    language, 13 reached review, though all gave a finding); everything spread over several messages (the
    memory over conversations is for that); requests in pictures or voice; coded words. Children
    among themselves, and relatives who joke about secrets, can look the same.
    """  # noqa: D205 - the first sentence is the page's first paragraph

    name: Final = "grooming_cues"
    labels: Final = frozenset({LABEL})

    def __init__(self) -> None:
        """Load the shipped lexicon.

        Raises:
            DocumentError: if it is malformed.
        """
        self._lexicon = Lexicon.shipped("grooming")
        self.lexicons = (self._lexicon,)
        self.version = f"1+{self._lexicon.digest}"
        self.patterns = self._lexicon.patterns(lambda term: term.group in PROCESSES)

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield one finding for each candidate with a process that is not explained away."""
        for candidate in candidates:
            seen = self._lexicon.weigh(candidate, LABEL)
            groups = {self._lexicon.terms[e.term].group for e in seen}
            processes = sorted(groups & PROCESSES.keys())
            evidence = _weighed(candidate.event, seen, groups, processes)
            score = total(evidence)
            if processes and score > 0.0:
                yield candidate, self._finding(evidence, score, processes)

    def _finding(
        self, evidence: tuple[Evidence, ...], score: float, processes: Sequence[str]
    ) -> Finding:
        start, end = span([e for e in evidence if e.weight > 0])
        return Finding(
            detector=self.name,
            version=self.version,
            label=LABEL,
            score=score,
            start=start,
            end=end,
            reason="may be grooming: " + ", ".join(PROCESSES[p] for p in processes),
            evidence=evidence,
            attributes={"processes": ",".join(f"{name}={LIKELY}" for name in processes)},
        )


def _weighed(
    event: Event, seen: tuple[Evidence, ...], groups: set[str], processes: Sequence[str]
) -> tuple[Evidence, ...]:
    """Add what is known of the people, and hold back what a single message must not decide."""
    evidence = [*seen, *_ages(event)]
    about_child = (
        "child" in groups
        or event.audience.recipient_age_band == "minor"
        or any(e.term.rsplit(".", 1)[-1] in _NAMES_A_CHILD for e in seen)
        or {"age_access", "isolation_secrecy"} <= groups
        or (len(processes) >= _CONCEALED and not _CONCEALMENT.isdisjoint(groups))
    )
    if about_child and not _DRAWING_IN.isdisjoint(processes) and len(processes) > 1:
        more = min(len(processes) - 1, 2)
        evidence.append(Evidence("grooming.together", round(TOGETHER_WEIGHT * more, 4)))
    score = sum(e.weight for e in evidence)
    if score > CEILING:
        held_back = round(CEILING - score, 4)
        if len(processes) == 1:
            evidence.append(Evidence("grooming.one_process", held_back))
        elif not about_child:
            evidence.append(Evidence("grooming.no_sign_of_a_child", held_back))
    return tuple(evidence)


def _ages(event: Event) -> tuple[Evidence, ...]:
    if event.audience.recipient_age_band != "minor":
        return ()
    if event.actor.age_band == "adult":
        return (Evidence("grooming.adult_to_minor", ADULT_TO_MINOR_WEIGHT),)
    return (Evidence("grooming.minor_recipient", MINOR_RECIPIENT_WEIGHT),)
