"""Tests for `schemas.labels`."""

from importlib import resources
from typing import Final

import pytest

from schemas.document import Document, DocumentError
from schemas.labels import Taxonomy, taxonomy

SHIPPED: Final = (resources.files("schemas") / "labels.toml").read_text(encoding="utf-8")
LABEL: Final = """
[[labels]]
id = "fraud.phishing"
status = "in_scope"
severity = "SEV1"
description = "A sentence."
auto_action = "none"
review = "none"
preserve = false
"""
# The codes of the transparency database that the mapping may use, and those of the review tool.
DSA_KEYWORDS: Final = {
    "STATEMENT_CATEGORY_CYBER_VIOLENCE": {"CYBER_BULLYING_INTIMIDATION", "CYBER_HARASSMENT"},
    "STATEMENT_CATEGORY_CYBER_VIOLENCE_AGAINST_WOMEN": {"BULLYING_AGAINST_GIRLS"},
    "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH": {"HATE_SPEECH"},
    "STATEMENT_CATEGORY_OTHER_VIOLATION_TC": {"GOODS_SERVICES_NOT_PERMITTED", "NUDITY"},
    "STATEMENT_CATEGORY_PROTECTION_OF_MINORS": {
        "CHILD_SEXUAL_ABUSE_MATERIAL",
        "GROOMING_SEXUAL_ENTICEMENT_MINORS",
        "OTHER",
    },
    "STATEMENT_CATEGORY_SCAMS_AND_FRAUD": {
        "IMPERSONATION_ACCOUNT_HIJACKING",
        "INAUTHENTIC_ACCOUNTS",
        "INAUTHENTIC_LISTINGS",
        "OTHER",
        "PHISHING",
        "PYRAMID_SCHEMES",
    },
    "STATEMENT_CATEGORY_SELF_HARM": {"SUICIDE"},
    "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS": {"PROHIBITED_PRODUCTS"},
    "STATEMENT_CATEGORY_VIOLENCE": {"OTHER"},
}
COOP: Final = {
    "DRUG_SALES",
    "FRAUD_AND_DECEPTION",
    "GROOMING",
    "HARRASSMENT",
    "HATE",
    "PRIVACY",
    "SELF_HARM_AND_SUICIDE",
    "SEXUAL_CONTENT",
    "SEXUAL_EXPLOITATION",
    "SPAM",
    "VIOLENCE",
}


def test_ids() -> None:
    """The ids are these, since they are never renamed and never removed."""
    assert taxonomy().ids == (
        "csea.grooming",
        "csea.sexual_communication",
        "csea.sextortion_minor",
        "csea.csam_solicitation",
        "csea.minor_sexualisation",
        "fraud.phishing",
        "fraud.impersonation",
        "fraud.investment",
        "fraud.job_task",
        "fraud.romance_parcel",
        "fraud.loan_ecommerce",
        "fraud.malware_apk",
        "fraud.mule_recruitment",
        "gambling.promotion",
        "bullying.harassment",
        "bullying.doxxing_or_threat",
        "selfharm.incitement",
        "drugs.promotion",
        "canary.seen",
        "detector.failed",
    )
    assert taxonomy().families == ("hate.*", "violence.*", "obscene.*", "custom.*")


def test_child_safety_is_decided_by_people() -> None:
    """Nothing about a suspected offence against a child happens or is lost without a person."""
    labels = [taxonomy()[id_] for id_ in taxonomy().ids if id_.startswith("csea.")]

    assert 5 == len(labels)
    assert {("required", True)} == {(label.review, label.preserve) for label in labels}
    assert {"none"} == {label.auto_action for label in labels if label.severity == "SEV0"}


def test_priority_is_the_second_schedule() -> None:
    """Priority harmful content is exactly what maps to items 1 and 2 of the First Schedule."""
    labels = [taxonomy()[id_] for id_ in (*taxonomy().ids, *taxonomy().families)]

    assert 24 == len(labels)
    assert [label.onsa.priority for label in labels] == [
        not {1, 2}.isdisjoint(label.onsa.first_schedule) for label in labels
    ]


def test_export_codes() -> None:
    """Every code that is exported is one the other system has."""
    labels = [taxonomy()[id_] for id_ in (*taxonomy().ids, *taxonomy().families)]
    codes = [
        (codes.category, keyword.removeprefix("KEYWORD_"))
        for label in labels
        if label.dsa
        for codes in (label.dsa, *label.dsa.alternatives)
        for keyword in codes.keywords
    ]

    assert 24 == len(codes)
    assert [] == [(c, k) for c, k in codes if k not in DSA_KEYWORDS.get(c, ())]
    assert COOP == {label.coop for label in labels if label.coop}


def test_other_needs_a_specification() -> None:
    """The keyword "other" says nothing, so our own labels say in words what it stands for."""
    ours = [taxonomy()[id_] for id_ in taxonomy().ids]
    other = [c.dsa for c in ours if c.dsa and "KEYWORD_OTHER" in c.dsa.keywords]

    assert 3 == len(other)
    assert [] == [codes for codes in other if not codes.specification_other]


@pytest.mark.parametrize("id_", ["hate.religion", "custom.acme.odd_thing", "violence.*"])
def test_open_families(id_: str) -> None:
    """Any id below a reserved family is a label, with the family's properties and its own id."""
    family = f"{id_.partition('.')[0]}.*"

    assert id_ in taxonomy()
    assert (id_, taxonomy().severity(family)) == (taxonomy()[id_].id, taxonomy().severity(id_))


@pytest.mark.parametrize("id_", ["", "hate", "hate.", "hate.A", "fraud.odd", "csea.*", "custom..a"])
def test_unknown_labels(id_: str) -> None:
    """What is not declared is not a label, not even below a family that is closed."""
    assert id_ not in taxonomy()
    with pytest.raises(KeyError):
        taxonomy().severity(id_)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (LABEL + LABEL, r"labels\.toml:12: label `fraud\.phishing` is declared twice"),
        (LABEL.replace("SEV1", "SEV9"), r"labels\.toml:5: invalid enum value 'SEV9', expected one"),
        (LABEL + "dsa = { category = 'X', keywords = [] }", r"labels\.toml:10: expected `str`"),
        (LABEL + "colour = 'red'", r"labels\.toml:10: unknown key `colour`"),
        (LABEL.replace('review = "none"\n', ""), r"labels\.toml:2: missing key `review`"),
    ],
)
def test_malformed(source: str, expected: str) -> None:
    """A malformed file is refused with the line."""
    with pytest.raises(DocumentError, match=expected):
        Taxonomy(Document(f'version = "1.0.0"{source}', "labels.toml"))


def test_shipped_file_is_the_taxonomy() -> None:
    """What is loaded is what the file says."""
    assert Taxonomy(Document(SHIPPED, "labels.toml")).ids == taxonomy().ids
    assert "1.0.0" == taxonomy().version
