"""The compiled file: what it finds, what it refuses, and that it is replaced whole."""

import sys
from pathlib import Path

import msgspec
import pytest

from pipeline import feed_index
from pipeline.feed_index import Held, Index, IndexFileError, stamp, write

FEEDS = [Held(name=n, version=f"{n}-1", entries=1, rejected={}) for n in ("a", "b")]
NAMES = {
    "example.com": 0b01,
    "evil.example.net": 0b10,
    "very.evil.example.net": 0b01,
    "example.org/bad": 0b11,
    "example.org/asked?x=1": 0b01,
    "93.184.216.34": 0b10,
}
DOMAINS = dict.fromkeys(["example.com", "example.net", "example.org", "93.184.216.34"])


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Write and open a small one."""
    write(tmp_path / "feeds.index", NAMES, DOMAINS, FEEDS, "inputs")
    return Index(tmp_path / "feeds.index")


LOOKUPS = {
    ("example.com", "example.com", ""): (0,),
    ("www.example.com", "example.com", ""): (0,),
    ("below.example.com", "example.com", "/page"): (0,),
    ("example.net", "example.net", ""): (),
    ("evil.example.net", "example.net", ""): (1,),
    ("www.evil.example.net", "example.net", ""): (1,),
    ("very.evil.example.net", "example.net", ""): (0, 1),
    ("notevil.example.net", "example.net", ""): (),
    ("example.org", "example.org", ""): (),
    ("example.org", "example.org", "/"): (),
    ("www.example.org", "example.org", "/bad/"): (0, 1),
    ("example.org", "example.org", "/bad?x=1#y"): (0, 1),
    ("example.org", "example.org", "/bad/worse"): (),
    ("below.example.org", "example.org", "/bad"): (),
    ("example.org", "example.org", "/asked"): (),
    ("example.org", "example.org", "/asked?x=1"): (0,),
    ("93.184.216.34", "", "/a"): (1,),
    ("93.184.216.35", "", ""): (),
    ("example.co", "example.co", ""): (),
    # A customer of a hosting service is its own registered domain: nothing above it counts.
    ("someone.example.com", "someone.example.com", ""): (),
}


@pytest.mark.parametrize("link", LOOKUPS, ids="".join)
def test_a_name_stands_for_what_is_below_it_and_a_page_for_itself(
    index: Index, link: tuple[str, str, str]
) -> None:
    """The lists that hold the page, the host, or a domain down from the registered one, each once."""
    assert LOOKUPS[link] == index.find(*link)


def test_fifty_thousand_names_are_all_found_and_no_other(tmp_path: Path) -> None:
    """Each by the list that holds it; the file is what the table takes, and little more."""
    path = tmp_path / "feeds.index"
    names = {f"n{number}.example": 1 << number % 2 for number in range(50_000)}
    write(path, names, dict.fromkeys(names), FEEDS, "inputs")
    index = Index(path)
    found = [index.find(name, name) for name in names]
    others = [f"m{number}.example" for number in range(50_000)]

    assert [(number % 2,) for number in range(50_000)] == found
    assert [] == [name for name in others if index.find(name, name)]
    assert 50_000 * 8 < path.stat().st_size < 50_000 * 16


def test_the_same_lists_give_the_same_bytes(tmp_path: Path) -> None:
    """And other inputs another seed, so that nobody can aim at a name that is hashed alike."""
    for name, inputs in (("1", "x"), ("2", "x"), ("3", "y")):
        write(tmp_path / name, NAMES, DOMAINS, FEEDS, inputs)
    first, second, third = ((tmp_path / name).read_bytes() for name in "123")

    assert first == second
    assert Index(tmp_path / "1").header.seed != Index(tmp_path / "3").header.seed
    assert first != third


def test_names_that_are_hashed_alike_get_another_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two names in one slot would be taken for each other."""
    hashed = feed_index.xxh3_64_intdigest
    tried = []

    def alike(content: bytes, seed: int) -> int:
        tried.append(seed)
        return hashed(content, seed) if seed != tried[0] else 7 << 16

    monkeypatch.setattr(feed_index, "xxh3_64_intdigest", alike)
    write(tmp_path / "feeds.index", NAMES, DOMAINS, FEEDS, "inputs")
    index = Index(tmp_path / "feeds.index")

    assert (tried[0] + 1) % 2**64 == index.header.seed
    assert (0,) == index.find("example.com", "example.com")


def test_too_many_combinations_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of a combination has 16 bits; the error says what to do, and no file is left."""
    monkeypatch.setattr(feed_index, "MOST_COMBINATIONS", 3)
    with pytest.raises(IndexFileError, match="overlap in 4 different ways, and 3"):
        write(tmp_path / "feeds.index", NAMES, DOMAINS, FEEDS, "inputs")

    assert [] == list(tmp_path.iterdir())


def damaged(content: bytes) -> dict[str, bytes]:
    """Return files that are none, by what is wrong with them."""
    other = sys.byteorder[::-1]  # as long as the real one
    return {
        "empty": b"",
        "something else": b"x" * len(content),
        "cut": content[:-8],
        "cut in a slot": content[:-9],
        "changed": content[:-1] + bytes([content[-1] ^ 1]),
        "header": content[:30] + b"}" + content[31:],
        "another machine": content.replace(
            f'"byte_order":"{sys.byteorder}"'.encode(), f'"byte_order":"{other}"'.encode()
        ),
    }


@pytest.mark.parametrize("fault", damaged(b" " * 40))
def test_a_file_that_is_not_whole_is_refused(index: Index, tmp_path: Path, fault: str) -> None:
    """A wrong table would accuse the wrong links; the error says to sync."""
    assert index.header.digest
    path = tmp_path / "feeds.index"
    path.write_bytes(damaged(path.read_bytes())[fault])
    with pytest.raises(IndexFileError, match="penjaga feeds sync") as error:
        Index(path)

    assert ("another kind of machine" in str(error.value)) == (fault == "another machine")


def test_what_is_open_stays_when_another_takes_its_place(index: Index, tmp_path: Path) -> None:
    """The path leads to the new file, with another stamp; the open one is the old one."""
    path = tmp_path / "feeds.index"
    before = stamp(path)
    write(path, {"example.net": 1}, {"example.net": None}, FEEDS, "more")
    renewed = Index(path)

    assert index.stamp == before
    assert renewed.stamp == stamp(path) != before
    assert ((0,), ()) == (
        index.find("example.com", "example.com"),
        renewed.find("example.com", "example.com"),
    )
    assert stamp(tmp_path / "absent") is None


def test_the_digest_stands_for_what_a_reader_sees(index: Index, tmp_path: Path) -> None:
    """Another version of a list is another digest."""
    newer = [msgspec.structs.replace(FEEDS[0], version="a-2"), FEEDS[1]]
    write(tmp_path / "2", NAMES, DOMAINS, newer, "inputs")

    assert index.header.digest != Index(tmp_path / "2").header.digest
