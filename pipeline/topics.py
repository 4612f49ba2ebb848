"""Topics: those that must exist, as the settings would have them, and what that takes on a cluster. Pure.

Sources belong to the platform: that they are there is checked, and nothing of theirs is ever changed. No
topic is deleted, and none loses partitions or replicas.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from pipeline.settings import Settings

DAY_MILLISECONDS: Final = 86_400_000

SOURCE_BYTES: Final = 1_048_588
"""The largest record a topic takes unless it is told otherwise: Kafka's default `max.message.bytes`."""

HEADER_BYTES: Final = 65_536
"""Room for the headers that a dead letter has beside its record's own bytes: place, key, reason, detail."""

_AT_LEAST: Final = frozenset({"max.message.bytes"})
_SAFE: Final = {"unclean.leader.election.enable": "false"}

Config = Mapping[str, str]
"""What a topic is configured with, by Kafka's own names."""


class Topic(msgspec.Struct, frozen=True):
    """A topic that a worker writes to."""

    name: str
    cleanup: Literal["delete", "compact", "compact,delete"]
    days: float | None
    """How long records are kept; None, for as long as they are the latest of their key."""
    partitions: int
    replication: int
    config: dict[str, str] = {}
    """What else it needs."""

    def wanted(self) -> Config:
        """Return the whole configuration it should have."""
        keep = -1 if self.days is None else round(self.days * DAY_MILLISECONDS)
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(keep),
            **_SAFE,
            **self.config,
        }


class Found(msgspec.Struct, frozen=True):
    """A topic as a cluster has it."""

    partitions: int
    replication: int
    """The fewest replicas that a partition has."""
    config: dict[str, str]
    """All that is in force, defaults too."""
    own: dict[str, str] = {}
    """Of that, what was set for this topic itself."""


class Create(msgspec.Struct, frozen=True):
    """A topic that is missing."""

    topic: Topic


class Alter(msgspec.Struct, frozen=True):
    """A topic that is configured otherwise."""

    name: str
    before: dict[str, str]
    after: dict[str, str]
    own: dict[str, str]
    """What was set for it and stays."""


class Grow(msgspec.Struct, frozen=True):
    """A topic with too few partitions."""

    name: str
    before: int
    after: int


class Problem(msgspec.Struct, frozen=True):
    """What `apply` cannot mend."""

    name: str
    what: str
    remedy: str


class Plan(msgspec.Struct, frozen=True):
    """What separates a cluster from what the settings want of it."""

    create: tuple[Create, ...] = ()
    alter: tuple[Alter, ...] = ()
    grow: tuple[Grow, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def changes(self) -> int:
        """How many topics are to be created, configured or widened."""
        return len(self.create) + len(self.alter) + len(self.grow)


def owned(settings: Settings) -> tuple[Topic, ...]:
    """Return every topic that a worker writes to."""
    names, how = settings.topics, settings.provisioning
    letter_bytes = max(SOURCE_BYTES, settings.limits.record_bytes) + HEADER_BYTES
    width = (how.partitions, how.replication)
    # By the broker's clock: a worker whose own is wrong could not write, or for too short a time.
    synced = {
        "min.insync.replicas": str(how.min_in_sync),
        "message.timestamp.type": "LogAppendTime",
    }
    # The key of a verdict is its id: compaction drops what was delivered twice.
    written: tuple[Topic, ...] = (
        Topic(names.escalations, "compact,delete", how.escalations_days, *width, synced),
        Topic(names.shadow, "compact,delete", how.shadow_days, *width, synced),
        Topic(
            names.dead_letters,
            "delete",
            how.dead_letters_days,
            *width,
            synced | {"max.message.bytes": str(letter_bytes)},
        ),
    )
    if settings.quotas:
        overflow = Topic(names.overflow, "compact,delete", how.escalations_days, *width, synced)
        written = (*written, overflow)
    if settings.escalations.quotations == "apart":
        apart = Topic(names.quotations, "compact,delete", how.escalations_days, *width, synced)
        written = (*written, apart)
    if not settings.memory.is_on:
        return written
    return (
        *written,
        Topic(names.signals, "delete", how.signals_days, *width, synced),
        Topic(names.memory, "compact", None, *width, synced),
    )


def plan(settings: Settings, found: Mapping[str, Found]) -> Plan:
    """Compare what the settings want with what a cluster has, by topic."""
    names = settings.topics
    create: list[Create] = []
    alter: list[Alter] = []
    grow: list[Grow] = []
    problems: list[Problem] = []
    for topic in owned(settings):
        there = found.get(topic.name)
        if there is None:
            create.append(Create(_wide_enough(topic, settings, found)))
            continue
        if changed := _altered(_wide_enough(topic, settings, found), there):
            alter.append(changed)
        if there.partitions < topic.partitions and topic.name in (names.signals, names.memory):
            problems.append(_fixed(topic, there))
        elif there.partitions < topic.partitions:
            grow.append(Grow(topic.name, there.partitions, topic.partitions))
        if there.replication < topic.replication:
            problems.append(_thin(topic, there))
    problems += _apart(settings, found)
    problems += [
        Problem(
            name,
            "no such topic",
            "it is the platform's: correct its name in [sources], or have it created; this user may also "
            "lack the right to describe it",
        )
        for name in settings.sources
        if name not in found
    ]
    return Plan(tuple(create), tuple(alter), tuple(grow), tuple(problems))


def _wide_enough(topic: Topic, settings: Settings, found: Mapping[str, Found]) -> Topic:
    """Let a dead letter be as large as the largest record of a source, whatever its topic allows.

    And let the memory have as many partitions as the signals that are there, or these as the memory.
    """
    names = settings.topics
    twin = {names.signals: names.memory, names.memory: names.signals}.get(topic.name)
    if twin is not None and twin in found:
        return msgspec.structs.replace(topic, partitions=found[twin].partitions)
    if topic.name != names.dead_letters:
        return topic
    largest = max(
        (
            int(found[name].config.get("max.message.bytes", SOURCE_BYTES)) + HEADER_BYTES
            for name in settings.sources
            if name in found
        ),
        default=0,
    )
    least = max(largest, int(topic.config["max.message.bytes"]))
    return msgspec.structs.replace(topic, config=topic.config | {"max.message.bytes": str(least)})


def _altered(topic: Topic, there: Found) -> Alter | None:
    after = {
        name: value
        for name, value in topic.wanted().items()
        if not _serves(name, there.config.get(name), value)
    }
    if not after:
        return None
    before = {name: there.config.get(name, "") for name in after}
    own = {name: value for name, value in there.own.items() if name not in after}
    return Alter(topic.name, before, after, own)


def _serves(name: str, has: str | None, wanted: str) -> bool:
    if has is None:
        return False
    if name in _AT_LEAST:
        return int(has) >= int(wanted)
    # A broker lists policies in whatever order they were given.
    return sorted(has.split(",")) == sorted(wanted.split(","))


def _fixed(topic: Topic, there: Found) -> Problem:
    return Problem(
        topic.name,
        f"has {there.partitions} partitions, {topic.partitions} are wanted",
        "what is remembered stays in its partition while its subjects would move: name new topics in "
        "[topics] to begin anew, or lower provisioning.partitions",
    )


def _apart(settings: Settings, found: Mapping[str, Found]) -> list[Problem]:
    """Tell of a memory whose partitions are not those of its signals, which no worker accepts."""
    names = settings.topics
    signals, memory = found.get(names.signals), found.get(names.memory)
    if not settings.memory.is_on or signals is None or memory is None:
        return []
    if signals.partitions == memory.partitions:
        return []
    return [
        Problem(
            names.memory,
            f"has {memory.partitions} partitions, {names.signals} has {signals.partitions}",
            "they must have equally many: name new topics in [topics], and let them be created together",
        )
    ]


def _thin(topic: Topic, there: Found) -> Problem:
    return Problem(
        topic.name,
        f"a partition has {there.replication} replicas, {topic.replication} are wanted",
        "move replicas with kafka-reassign-partitions.sh, or lower provisioning.replication",
    )


def lines(plan: Plan) -> Sequence[str]:
    """Return a plan as lines for people, in the manner of a diff."""
    return [
        *(_created(step.topic) for step in plan.create),
        *(
            f"~ {step.name}  {name}: {step.before[name] or 'unset'} -> {value}"
            for step in plan.alter
            for name, value in step.after.items()
        ),
        *(
            f"~ {step.name}  partitions: {step.before} -> {step.after}  (only with --add-partitions: "
            "records of a key will go to another partition than those before)"
            for step in plan.grow
        ),
        *(f"! {problem.name}  {problem.what}: {problem.remedy}" for problem in plan.problems),
    ]


def _created(topic: Topic) -> str:
    config = " ".join(f"{name}={value}" for name, value in topic.wanted().items())
    return f"+ {topic.name}  partitions={topic.partitions} replication={topic.replication} {config}"
