"""The compiled lists: one file that every process maps, so that all share one copy in memory.

After a header comes an open-addressing hash table of 8-byte slots: 48 bits of a name's xxh3 hash, and 16 that
say which lists hold it. For each listed name its registered domain is in the table too, held by nobody: most
links are of domains without any listed name, and end at one look. Two names are taken for one with a
probability of 10^-14 a look; the seed follows from the lists, so nobody can aim at it.

Measured beside it, with 2 million names: a MARISA trie takes two fifths of the space and twice the time; a
binary fuse filter takes an eighth and the same time, but cannot say which list holds a name, is wrong once in
65,000 links, and has to be copied into each process.
"""

import hashlib
import mmap
import os
import sys
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from pipeline.feed_names import above_www, pages

FILE: Final = "feeds.index"
MOST_COMBINATIONS: Final = 0xFFFF
"""So many different combinations of lists can hold a name."""

_MAGIC: Final = b"penjaga-feeds-1\n"
_LENGTH: Final = 8
_SLOT: Final = 8
_PAGE: Final = 4096
_HELD: Final = 0x10000
"""Below this lies a slot's number of a combination, above it the hash."""
_MARK: Final = 1
"""The combination of no list at all: some name below a registered domain is listed."""


class IndexFileError(ValueError):
    """A file of compiled lists that cannot be used."""


class Stamp(NamedTuple):
    """What tells one file under a path from the next, at the cost of one look at the folder."""

    inode: int
    modified: int
    size: int


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one list when it was compiled."""

    name: str
    version: str
    entries: int
    """Names that are in the table."""
    rejected: dict[str, int]
    """What is not, by reason: no name, innocent, or there already."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before the table."""

    inputs: str
    """Digest of what it was compiled from; another one calls for another table."""
    feeds: tuple[Held, ...]
    combinations: tuple[tuple[int, ...], ...]
    """The lists, by their position, that hold the names with a number; the first two hold none."""
    seed: int
    slots: int
    byte_order: str
    digest: str = ""
    """Of all the rest and the table."""


def stamp(path: Path) -> Stamp | None:
    """Return the stamp of the file that is there now, if one is."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Stamp(status.st_ino, status.st_mtime_ns, status.st_size)


class Index:
    """An open file of compiled lists. It stays as it is, also when another takes its place."""

    __slots__ = ("_combinations", "_seed", "_slots", "_table", "header", "stamp")

    def __init__(self, path: Path) -> None:
        """Map and check the file.

        Raises:
            OSError: if it cannot be opened.
            IndexFileError: if it is not whole, or of another kind of machine.
        """
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size < _PAGE:
                raise IndexFileError(f"{path} holds no compiled lists; run `penjaga feeds sync`")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.stamp = Stamp(status.st_ino, status.st_mtime_ns, status.st_size)
        self.header, start = _read(content, path)
        is_whole = status.st_size == start + self.header.slots * _SLOT
        if is_whole:
            self._table = memoryview(content)[start:].cast("Q")
            is_whole = _digest(self.header, self._table) == self.header.digest
        if not is_whole:
            raise IndexFileError(f"{path} is damaged; run `penjaga feeds sync` again")
        self._slots = self.header.slots
        self._seed = self.header.seed
        self._combinations = self.header.combinations

    def find(self, host: str, domain: str, path: str = "") -> tuple[int, ...]:
        """Return the positions of the lists that hold a host, its page, or a domain above the host.

        `domain` is the host's registered domain; of an address it is empty.
        """
        # Nearly every call ends here, so the search is written out instead of called.
        table, slots = self._table, self._slots
        hashed = xxh3_64_intdigest((domain or host).encode(), self._seed)
        at = hashed % slots
        while slot := table[at]:
            if slot ^ hashed < _HELD:
                break
            at += 1
            if at == slots:
                at = 0
        else:
            return ()
        found = self._combinations[slot & (_HELD - 1)]
        domain = domain or host
        name = above_www(host, domain)
        if len(name) == len(domain) and not path:
            return found
        return self._all(name, domain, path, found)

    def _all(self, host: str, domain: str, path: str, found: tuple[int, ...]) -> tuple[int, ...]:
        """Add, to the lists that hold a domain, those that hold the hosts below it, and the page."""
        held = [found] if found else []
        name = host
        while len(name) > len(domain):
            if lists := self._combinations[self._number(name)]:
                held.append(lists)
            name = name.partition(".")[2]
        if path:
            numbers = (self._number(host + page) for page in pages(path))
            held += [lists for n in numbers if (lists := self._combinations[n])]
        if len(held) < 2:  # noqa: PLR2004  # the usual case, worth no set
            return held[0] if held else ()
        return tuple(sorted({at for lists in held for at in lists}))

    def _number(self, name: str) -> int:
        table, slots = self._table, self._slots
        hashed = xxh3_64_intdigest(name.encode(), self._seed)
        at = hashed % slots
        while slot := table[at]:
            if slot ^ hashed < _HELD:
                return slot & (_HELD - 1)
            at += 1
            if at == slots:
                at = 0
        return 0


def write(
    path: Path,
    names: Mapping[str, int],
    domains: Mapping[str, None],
    feeds: Sequence[Held],
    inputs: str,
) -> None:
    """Write compiled lists whole, then put them in the place of the last.

    `names` holds, for each name, a bit for each list by its position; `domains` are their registered domains.

    Raises:
        IndexFileError: if too many combinations of lists occur.
        OSError: if the folder cannot be written to.
    """
    numbers = {0: _MARK}
    for bits in names.values():
        numbers.setdefault(bits, len(numbers) + 1)
    if len(numbers) > MOST_COMBINATIONS:
        raise IndexFileError(
            f"the feeds overlap in {len(numbers)} different ways, and {MOST_COMBINATIONS} can be told "
            "apart: configure fewer, or merge some"
        )
    combinations = ((), *(_positions(bits) for bits in numbers))
    seed = int.from_bytes(hashlib.sha256(inputs.encode()).digest()[:8])
    table = None
    while table is None:
        table = _table(names, domains, numbers, seed)
        seed = seed if table is not None else (seed + 1) % 2**64
    header = Header(
        inputs=inputs,
        feeds=tuple(feeds),
        combinations=combinations,
        seed=seed,
        slots=len(table),
        byte_order=sys.byteorder,
    )
    digest = _digest(header, memoryview(table))
    encoded = msgspec.json.encode(msgspec.structs.replace(header, digest=digest))
    head = _MAGIC + len(encoded).to_bytes(_LENGTH, "little") + encoded
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(head + bytes(-len(head) % _PAGE))
            table.tofile(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _table(
    names: Mapping[str, int], domains: Mapping[str, None], numbers: Mapping[int, int], seed: int
) -> "array[int] | None":
    """Fill a table to 5/9; return None if two names cannot be told apart under this seed."""
    marks = [domain for domain in domains if domain not in names]
    slots = (len(names) + len(marks)) * 9 // 5 + 1
    table = array("Q", bytes(_SLOT * slots))

    def put(name: str, number: int) -> bool:
        hashed = xxh3_64_intdigest(name.encode(), seed)
        at = hashed % slots
        while slot := table[at]:
            if slot ^ hashed < _HELD:
                return False
            at = at + 1 if at + 1 < slots else 0
        table[at] = hashed & -_HELD | number
        return True

    is_sound = all(put(name, numbers[bits]) for name, bits in names.items())
    return table if is_sound and all(put(mark, _MARK) for mark in marks) else None


def _positions(bits: int) -> tuple[int, ...]:
    return tuple(at for at in range(bits.bit_length()) if bits >> at & 1)


def _read(content: mmap.mmap, path: Path) -> tuple[Header, int]:
    start = len(_MAGIC) + _LENGTH
    if content[: len(_MAGIC)] != _MAGIC:
        raise IndexFileError(f"{path} holds no compiled lists; run `penjaga feeds sync`")
    length = int.from_bytes(content[len(_MAGIC) : start], "little")
    try:
        header = msgspec.json.decode(content[start : start + length], type=Header)
    except msgspec.DecodeError:
        raise IndexFileError(f"{path} is damaged; run `penjaga feeds sync` again") from None
    if header.byte_order != sys.byteorder:
        raise IndexFileError(
            f"{path} was made on another kind of machine; run `penjaga feeds sync`"
        )
    end = start + length
    return header, end + -end % _PAGE


def _digest(header: Header, table: "memoryview[int]") -> str:
    """Stand for all that a reader sees; what it was compiled from is left out."""
    seen = msgspec.structs.replace(header, inputs="", digest="")
    digest = hashlib.blake2b(msgspec.json.encode(seen), digest_size=16)
    digest.update(table)
    return digest.hexdigest()
