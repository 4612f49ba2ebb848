"""Topics: what the settings want, and what a cluster lacks of it."""

import msgspec
import pytest

from pipeline.settings import Escalations, Quota, Settings, SettingsError, load
from pipeline.topics import HEADER_BYTES, Found, Plan, lines, owned, plan
from pipeline.writes import topics_of

SETTINGS = load(None, {})
NAMES = SETTINGS.topics
DAY = 86_400_000
SOURCE = Found(partitions=4, replication=1, config={"max.message.bytes": "1048588"})


def as_wanted(settings: Settings = SETTINGS) -> dict[str, Found]:
    """Return a cluster on which nothing is left to do."""
    there = {
        topic.name: Found(topic.partitions, topic.replication, dict(topic.wanted()))
        for topic in owned(settings)
    }
    return there | {"platform.events": SOURCE}


def but(name: str, **changes: object) -> dict[str, Found]:
    """Return such a cluster with one topic that differs."""
    there = as_wanted()
    there[name] = msgspec.structs.replace(there[name], **changes)
    return there


def test_every_topic_that_a_worker_writes_to_is_owned() -> None:
    """And none besides, so that a topic of the platform's is never touched."""
    assert set(topics_of(SETTINGS)) == {topic.name for topic in owned(SETTINGS)}


def test_topics_are_kept_as_their_records_have_to_be() -> None:
    """Verdicts by their latest key; a dead letter whole, and large enough for any record with its headers."""
    wanted = {topic.name: topic.wanted() for topic in owned(SETTINGS)}
    letters = wanted[NAMES.dead_letters]

    assert ["compact,delete", "compact,delete", "delete", "delete", "compact"] == [
        config["cleanup.policy"] for config in wanted.values()
    ]
    assert [30 * DAY, 7 * DAY, 14 * DAY, 7 * DAY, -1] == [
        int(c["retention.ms"]) for c in wanted.values()
    ]
    assert {"2"} == {config["min.insync.replicas"] for config in wanted.values()}
    assert {"false"} == {config["unclean.leader.election.enable"] for config in wanted.values()}
    assert int(letters["max.message.bytes"]) > SETTINGS.limits.record_bytes


def test_without_a_memory_there_are_no_topics_for_it() -> None:
    """A worker that remembers nobody writes neither signals nor memory."""
    forgetful = load(None, {"PENJAGA_MEMORY_STORE": "off"})

    assert {topic.name for topic in owned(SETTINGS)} - {t.name for t in owned(forgetful)} == {
        NAMES.signals,
        NAMES.memory,
    }


@pytest.mark.parametrize("missing", [NAMES.signals, NAMES.memory])
def test_signals_and_memory_are_created_alike(missing: str) -> None:
    """As many partitions as the other has, or no worker starts."""
    there = as_wanted()
    there = {n: msgspec.structs.replace(t, partitions=24) for n, t in there.items() if n != missing}

    assert [(missing, 24)] == [
        (s.topic.name, s.topic.partitions) for s in plan(SETTINGS, there).create
    ]


def test_nothing_is_left_to_do_on_a_cluster_that_is_as_wanted() -> None:
    """Whatever order it lists policies in, and however much more it has."""
    letters = as_wanted()[NAMES.dead_letters]
    there = as_wanted() | {
        NAMES.dead_letters: Found(99, 5, letters.config | {"max.message.bytes": "9999999"})
    }
    verdicts = there[NAMES.escalations]
    there[NAMES.escalations] = msgspec.structs.replace(
        verdicts, config=verdicts.config | {"cleanup.policy": "delete,compact"}
    )

    assert Plan() == plan(SETTINGS, there)
    assert [] == lines(Plan())


def test_the_overflow_topic_is_wanted_only_with_a_quota() -> None:
    """Kept for as long as escalations are."""
    quotas = {"fraud.*": Quota(escalations_a_minute=5)}
    found = plan(msgspec.structs.replace(SETTINGS, quotas=quotas), as_wanted())

    assert [NAMES.overflow] == [step.topic.name for step in found.create]
    assert found.create[0].topic.days == SETTINGS.provisioning.escalations_days
    assert NAMES.overflow not in {topic.name for topic in owned(SETTINGS)}


def test_the_topic_of_quotations_is_wanted_only_where_they_are_apart() -> None:
    """Kept for as long as the verdicts that it belongs to."""
    apart = msgspec.structs.replace(SETTINGS, escalations=Escalations(quotations="apart"))
    found = plan(apart, as_wanted())

    assert [NAMES.quotations] == [step.topic.name for step in found.create]
    assert found.create[0].topic.days == SETTINGS.provisioning.escalations_days
    assert NAMES.quotations not in {topic.name for topic in owned(SETTINGS)}


def test_what_is_missing_is_created() -> None:
    """In full, and told in one line."""
    there = as_wanted()
    del there[NAMES.shadow]

    found = plan(SETTINGS, there)

    assert [NAMES.shadow] == [step.topic.name for step in found.create]
    assert 1 == found.changes
    assert lines(found)[0].startswith(f"+ {NAMES.shadow}  partitions=12 replication=3 ")


def test_only_what_differs_is_altered() -> None:
    """What else was set for the topic is said again, because the request takes the place of it all."""
    config = as_wanted()[NAMES.escalations].config | {"retention.ms": "1", "segment.bytes": "9"}
    own = {"retention.ms": "1", "segment.bytes": "9"}

    found = plan(SETTINGS, but(NAMES.escalations, config=config, own=own))
    (step,) = found.alter

    assert ({"retention.ms": "1"}, {"retention.ms": str(30 * DAY)}) == (step.before, step.after)
    assert {"segment.bytes": "9"} == step.own
    assert [f"~ {NAMES.escalations}  retention.ms: 1 -> {30 * DAY}"] == lines(found)


def test_a_dead_letter_topic_takes_the_largest_record_of_a_source() -> None:
    """Also of a source that was allowed more than the default."""
    there = as_wanted() | {"platform.events": Found(4, 1, {"max.message.bytes": "5000000"})}

    (step,) = plan(SETTINGS, there).alter

    assert {"max.message.bytes": str(5_000_000 + HEADER_BYTES)} == step.after


def test_too_few_partitions_are_told_with_what_widening_does() -> None:
    """Keys move; that is for people to decide."""
    found = plan(SETTINGS, but(NAMES.shadow, partitions=3))

    assert [(3, 12)] == [(step.before, step.after) for step in found.grow]
    assert "--add-partitions" in lines(found)[0]


@pytest.mark.parametrize(
    ("there", "what"),
    [
        ({k: v for k, v in as_wanted().items() if k != "platform.events"}, "no such topic"),
        (but(NAMES.escalations, replication=1), "a partition has 1 replicas, 3 are wanted"),
        (
            but(NAMES.memory, partitions=24),
            f"has 24 partitions, {NAMES.signals} has 12",
        ),
        (
            but(NAMES.signals, partitions=3)
            | {NAMES.memory: but(NAMES.memory, partitions=3)[NAMES.memory]},
            "has 3 partitions, 12 are wanted",
        ),
    ],
)
def test_what_cannot_be_mended_is_a_problem(there: dict[str, Found], what: str) -> None:
    """A source that is missing, and too few replicas: each with what to do."""
    found = plan(SETTINGS, there)

    assert 0 == found.changes
    assert {what} == {problem.what for problem in found.problems}
    assert all(problem.remedy for problem in found.problems)


def test_more_replicas_in_sync_than_there_are_is_refused() -> None:
    """Every write would wait for ever."""
    with pytest.raises(SettingsError, match="min_in_sync: expected at most `replication`"):
        load(None, {"PENJAGA_PROVISIONING_MIN_IN_SYNC": "4"})
