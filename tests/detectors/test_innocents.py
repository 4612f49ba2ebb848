"""Innocents: what is never listed, how far that reaches, and data that are checked."""

import pytest

from detectors.brands import Brands
from detectors.innocents import Innocents
from detectors.links import parse_link
from schemas.document import Document, DocumentError

BRANDS = """
[[brands]]
name = "A"
kind = "{kind}"
country = "my"
checked = 2026-11-25
official = [{{ source = "A itself", domains = ["example.com", "gov.my"] }}]
"""
FILE = """
restricted = ["gov", "edu", "ac"]
[[innocents]]
kind = "giant"
names = ["example.net", "below.host.example.org"]
[[innocents]]
kind = "hosting"
names = ["host.example.org", "sharing.example.com"]
"""


def innocents(kind: str = "bank") -> Innocents:
    """Return small ones."""
    brands = Brands(Document(BRANDS.format(kind=kind), "brands.toml"))
    return Innocents(Document(FILE, "innocents.toml"), brands)


REASONS = {
    ("example.net", "example.net", ""): "giant",
    ("any.example.net", "example.net", ""): "giant",
    ("example.net", "example.net", "/page"): None,
    ("notexample.net", "notexample.net", ""): None,
    ("host.example.org", "example.org", ""): "hosting",
    ("someone.host.example.org", "example.org", ""): None,
    ("host.example.org", "example.org", "/page"): None,
    ("below.host.example.org", "example.org", ""): "giant",
    ("any.below.host.example.org", "example.org", ""): "giant",
    ("example.com", "example.com", ""): "brand",
    ("any.example.com", "example.com", "/page"): "brand",
    ("sharing.example.com", "example.com", ""): "hosting",
    ("someone.sharing.example.com", "example.com", ""): None,
    # A service that the public-suffix list knows: its customers are registered domains.
    ("someone.example.net", "someone.example.net", ""): None,
    ("agency.gov.my", "agency.gov.my", ""): "brand",
    ("any.agency.gov.my", "agency.gov.my", "/page"): "brand",
    ("school.edu.my", "school.edu.my", ""): "institution",
    ("hacked.school.edu.my", "school.edu.my", ""): None,
    ("school.edu.my", "school.edu.my", "/hacked"): None,
    ("something.ac", "something.ac", ""): None,
    ("college.ac.uk", "college.ac.uk", ""): "institution",
}


@pytest.mark.parametrize("name", REASONS, ids="".join)
def test_the_nearest_name_decides(name: tuple[str, str, str]) -> None:
    """How far innocence reaches depends on the kind; below the registered domain nothing else counts."""
    assert REASONS[name] == innocents().reason(*name)


@pytest.mark.parametrize(("kind", "reason"), [("bank", "brand"), ("platform", None)])
def test_a_page_of_a_platform_may_be_listed_and_one_of_a_bank_may_not(
    kind: str, reason: str | None
) -> None:
    """On the one anybody writes; a list that names the other names the victim."""
    assert reason == innocents(kind).reason("example.com", "example.com", "/somebody")
    assert "brand" == innocents(kind).reason("example.com", "example.com", "")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (FILE.replace("giant", "gaint"), "innocents.toml:4: invalid enum value 'gaint'"),
        (FILE + 'notes = ""\n', "innocents.toml:9: unknown key `notes`"),
        (FILE.replace('"host.example.org"', '"example.net"'), "innocents.toml:8: `example.net` is"),
        (FILE.replace("host.example.org", "Host.example.org"), "innocents.toml:"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(source: str, message: str) -> None:
    """Unknown kinds and keys, a name twice, and what is no name."""
    with pytest.raises(DocumentError) as error:
        Innocents(
            Document(source, "innocents.toml"), Brands(Document(BRANDS.format(kind="bank"), "b"))
        )

    assert str(error.value).startswith(message)


def test_every_shipped_name_is_one_that_a_list_could_hold() -> None:
    """A name under a suffix that there is; another would take nothing out."""
    names = Innocents.shipped().names

    assert len(names) > 1000
    assert [] == [name for name in names if parse_link(f"http://{name}") is None]


def test_what_is_innocent_is_told_by_the_digest() -> None:
    """Whatever is compiled with other innocents is another thing."""
    assert innocents().digest == innocents().digest != innocents("platform").digest
    assert innocents().digest != Innocents.shipped().digest
