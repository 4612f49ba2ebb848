"""Behaviours: what is watched for in subjects, as rows of the settings."""

from typing import Annotated, Final, Literal

import msgspec

from pipeline.policy import Rule
from schemas.event import AudienceKind
from schemas.signal import SubjectKind

_Weight = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
_Seconds = Annotated[float, msgspec.Meta(gt=0.0)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=64)]
_DAY: Final = 86_400.0


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A pattern over many messages that shows in one kind of subject.

    What `counts` says is counted once for each different value, with the weight it has left since it was
    last seen; the sum decides. One thing alone never does: `least` different ones are needed.
    """

    subject: SubjectKind
    label: str = ""
    """What a subject is suspected of that crosses a level; empty, what its signals mostly say."""
    labels: tuple[str, ...]
    """The labels of signals that count; `csea.*` is a family."""
    counts: Literal["cues", "people", "events"]
    """Different cues of one sender, different people, or different events."""
    by_one: bool = False
    """Whether only what one sender wrote adds up, as it does with cues: the one with most decides."""
    people: Literal["actors", "counterparts"] = "actors"
    """Which people: those who wrote, or those who were written to."""
    weight: _Weight = 0.2
    """What each counts, fresh."""
    weights: dict[str, _Weight] = {}
    """What certain cues count, instead of `weight`. Of one that is less than certain its share counts; it is
    the likelier, the more events show it."""
    sums: dict[str, _Weight] = {}
    """What these cues count each time they are shown, as likely as they are; none is one of the `least`."""
    replies: dict[str, _Weight] = {}
    """What cues of the other side add to those of a sender."""
    least: _Count = 2
    least_people: _Count = 1
    """How many different people have to have written."""
    least_score: _Weight = 0.0
    """Signals with a lower score do not count."""
    audiences: tuple[AudienceKind, ...] = ("dm", "group", "public")
    """Before whom it has to be written to count; ["group", "public"] leaves direct messages alone."""
    acted_on: bool = False
    """Whether only events count that were reviewed or escalated by themselves."""
    half_life_seconds: _Seconds = 14 * _DAY
    window_seconds: _Seconds = 60 * _DAY
    """How far back from the newest signal anything counts."""
    facing_minor: Annotated[float, msgspec.Meta(ge=1.0, le=2.0)] = 1.0
    """What the sum is multiplied by where a minor is faced by anybody who is not known to be one."""
    review: _Weight = 0.6
    escalate: _Weight = 0.85

    @property
    def rule(self) -> Rule:
        """The levels as a rule of the policy."""
        return Rule(review=self.review, escalate=self.escalate)


def shipped() -> dict[str, Behaviour]:
    """Return the built-in rows, those of `deploy/penjaga.toml`."""
    return {
        "grooming_conversation": Behaviour(
            subject="conversation",
            label="csea.grooming",
            labels=("csea.*",),
            counts="cues",
            weight=0.1,
            sums={"drawing_in": 0.1},
            replies={"stated_age": 0.3, "refusal": 0.3, "discomfort": 0.3},
            least=2,
            audiences=("dm", "group"),
            facing_minor=1.1,
        ),
        "grooming_fan_out": Behaviour(
            subject="actor",
            label="csea.grooming",
            labels=("csea.*",),
            counts="people",
            people="counterparts",
            weight=0.2,
            least=3,
            least_score=0.15,
            facing_minor=1.25,
        ),
        "pile_on": Behaviour(
            subject="target",
            label="bullying.harassment",
            labels=("bullying.*",),
            counts="people",
            weight=0.12,
            least=5,
            least_score=0.3,
            half_life_seconds=_DAY,
            window_seconds=3 * _DAY,
        ),
        "persistent_harassment": Behaviour(
            subject="conversation",
            label="bullying.harassment",
            labels=("bullying.*",),
            counts="events",
            by_one=True,
            weight=0.15,
            least=4,
            least_score=0.3,
            half_life_seconds=7 * _DAY,
            window_seconds=30 * _DAY,
        ),
        "link_campaign": Behaviour(
            subject="link",
            labels=("fraud.*", "gambling.*"),
            counts="people",
            weight=0.12,
            least=5,
            least_score=0.3,
            half_life_seconds=3 * _DAY,
            window_seconds=14 * _DAY,
        ),
        "unsafe_space": Behaviour(
            subject="space",
            labels=("csea.*", "fraud.*", "gambling.*", "bullying.*"),
            counts="events",
            weight=0.08,
            least=8,
            least_people=3,
            least_score=0.5,
            half_life_seconds=7 * _DAY,
            window_seconds=30 * _DAY,
        ),
        "repeat_offender": Behaviour(
            subject="actor",
            labels=("csea.*", "fraud.*", "gambling.*", "bullying.*"),
            counts="events",
            weight=0.2,
            least=3,
            acted_on=True,
            half_life_seconds=30 * _DAY,
            window_seconds=90 * _DAY,
        ),
    }
