"""Whom a text says to write to or call is found however it is written; other numbers are left alone."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from detectors.contacts import MOST_WAYS, find_contacts, ways
from detectors.folding import fold

WRITTEN = tomllib.loads(
    (Path(__file__).parent / "links" / "written.toml").read_text(encoding="utf-8")
)
FOUND = [pytest.param(case, id=f"{case['way']}: {case['text']}") for case in WRITTEN["found"]]
NONE = [pytest.param(case, id=f"{case['what']}: {case['text']}") for case in WRITTEN["none"]]


@pytest.mark.parametrize("case", FOUND)
def test_finds_contacts_as_people_write_them(case: dict[str, Any]) -> None:
    """Kind, value in one form, and the exact span in the original text."""
    text = case["text"]
    expected = [
        (contact["kind"], contact["value"], contact.get("written", contact["value"]))
        for contact in case.get("contacts", ())
    ]

    found = [(c.kind, c.value, text[c.start : c.end]) for c in find_contacts(fold(text))]

    assert expected == found


@pytest.mark.parametrize("case", NONE)
def test_leaves_other_numbers_and_words_alone(case: dict[str, Any]) -> None:
    """Identity cards, accounts, dates, sums and the mere name of an application are no contact."""
    assert [] == find_contacts(fold(case["text"]))


def test_numbers_side_by_side_are_told_apart() -> None:
    """Two numbers with a sign or a word between them are two contacts."""
    text = "012-3456789/013-4567890 atau 0812 3456 7890"

    found = [(c.value, text[c.start : c.end]) for c in find_contacts(fold(text))]

    assert [
        ("+60123456789", "012-3456789"),
        ("+60134567890", "013-4567890"),
        ("+6281234567890", "0812 3456 7890"),
    ] == found


def test_a_number_inside_a_link_is_no_contact_of_its_own() -> None:
    """The link is."""
    text = "wa.me/60123456789 http://claimbonus.com/0123456789"

    assert [("whatsapp", "+60123456789")] == [(c.kind, c.value) for c in find_contacts(fold(text))]


@pytest.mark.parametrize(
    "unit", ["0 ", "1", "one ", "double ", "line id ", "telegram id id id ", "零"]
)
def test_hostile_texts_are_read_to_their_end(unit: str) -> None:
    """Whatever is repeated, reading takes less than the second after which it would be given up."""
    text = unit * (20_000 // len(unit))

    assert len(find_contacts(fold(text))) <= len(text)


def test_where_a_text_leads_is_the_same_however_it_is_written() -> None:
    """Messages which push one thing belong together; what everybody links says nothing."""
    one = ways(fold("join at www.winbig77-site.xyz/x or wa.me/60123456789, see youtube.com/watch"))
    other = ways(fold("hxxps://winbig77-site[.]xyz  WhatsApp: +60123456789"))

    assert {"ways": "winbig77-site.xyz whatsapp:+60123456789"} == one == other
    assert {} == ways(fold("nothing to see here, not even at youtube.com/watch"))
    assert MOST_WAYS == len(
        ways(fold(" ".join(f"http://a{n}.com" for n in range(9))))["ways"].split()
    )
