"""Quotas: the highest scores go to people, the rest is held back, and a minute fills a bucket again."""

import msgspec

from pipeline.policy import Policy, Rule
from pipeline.quotas import Quotas
from pipeline.settings import Quota
from schemas import Finding, Verdict
from schemas.labels import taxonomy
from tests.pipeline.events import event

TEN = Quota(escalations_a_minute=10)


def verdicts(count: int, label: str = "fraud.phishing", score: float = 0.9) -> list[Verdict]:
    """Return verdicts of different events, each a little surer than the one before."""
    policy = Policy(
        {}, Rule(shadow=0.3, review=0.6), taxonomy(), excerpt_characters=0, configuration="0"
    )
    found = [
        Finding(
            detector="test",
            version="1",
            label=label,
            score=round(score + n / 1000, 4),
            start=0,
            end=0,
            reason="a reason",
        )
        for n in range(count)
    ]
    return [
        verdict
        for number, finding in enumerate(found)
        for verdict in policy.decide(event("text", f"{label}-{number}"), [finding])
    ]


def test_without_a_quota_nothing_is_held_back() -> None:
    """Neither without any, nor for a label that has none."""
    asking = verdicts(1_000)

    assert frozenset() == Quotas({}).held_back(asking, 0.0)
    assert frozenset() == Quotas({"gambling.*": TEN}).held_back(asking, 0.0)


def test_the_surest_go_first() -> None:
    """Of a batch, whatever its order."""
    asking = verdicts(30)
    held = Quotas({"fraud.*": TEN}).held_back(asking, 0.0)

    assert {verdict.id for verdict in asking[:20]} == held


def test_a_bucket_fills_at_its_rate_and_holds_a_minute() -> None:
    """Ten at once, one every six seconds, and after an hour ten again."""
    quotas = Quotas({"fraud.*": TEN})

    def passed(now: float) -> int:
        return 30 - len(quotas.held_back(verdicts(30), now))

    assert [10, 0, 1, 2, 10] == [passed(now) for now in (0.0, 3.0, 6.0, 18.0, 3_618.0)]


def test_a_labels_own_quota_comes_before_its_familys() -> None:
    """And each has a bucket of its own, which labels of a family share."""
    quotas = Quotas({"fraud.*": TEN, "fraud.phishing": Quota(escalations_a_minute=1)})
    asking = [
        *verdicts(5),
        *verdicts(8, "fraud.loan_ecommerce"),
        *verdicts(8, "fraud.romance_parcel"),
    ]
    held = quotas.held_back(asking, 0.0)

    assert 4 == sum(verdict.id in held for verdict in asking[:5])
    assert 6 == sum(verdict.id in held for verdict in asking[5:])


def test_what_is_only_measured_takes_nothing_of_it() -> None:
    """Shadow reaches nobody."""
    quotas = Quotas({"fraud.*": TEN})

    assert frozenset() == quotas.held_back(verdicts(100, score=0.3), 0.0)
    assert 20 == len(quotas.held_back(verdicts(30), 0.0))


def test_a_verdict_is_not_changed() -> None:
    """The id is all that is told; what is written is the verdict itself."""
    asking = verdicts(30)
    before = msgspec.json.encode(asking)
    Quotas({"fraud.*": TEN}).held_back(asking, 0.0)

    assert before == msgspec.json.encode(asking)
