"""The thesaurus: the concepts that words and phrases of five languages stand for.

"jangan bagitahu mak", "don't tell your mum" and "别告诉妈妈" have no word in common, and say one
thing: *dont*, *tell_others*, *mother*. What is learned of concepts in one language holds in the others, and
for words that no example had.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from detectors.folding import fold
from detectors.letters import Hashes, Letters, Places, hashes_of, mixed

LONGEST: Final = 24
"""A form has at most so many letters."""
_FILTER_BITS: Final = 22
_STEM_BITS: Final = 17
"""There are few stems, and a filter for them that stays in the processor's cache is quicker."""
_AS_STEM: Final = np.uint64(0x5851F42D4C957F2D)
_BLANKS: Final = re.compile(r"\s+")


class Forms(msgspec.Struct, frozen=True):
    """A thesaurus as it is kept beside a model."""

    concepts: tuple[str, ...]
    """Their names; a concept is its place among them."""
    keys: bytes
    """64-bit hashes of forms, in order."""
    stems: bytes
    """Those of them that are of stems."""
    ends: bytes
    """Where the concepts of each form end among all, 32 bits each."""
    of: bytes
    """16-bit places of the concepts."""


class Concepts(msgspec.Struct, frozen=True):
    """Where concepts stand in texts, in no order."""

    starts: Places
    ends: Places
    concepts: Places


class Thesaurus:
    """Finds concepts in texts."""

    def __init__(self, forms: Forms) -> None:
        """Take the forms of concepts."""
        self.names = forms.concepts
        self._keys = np.frombuffer(forms.keys, dtype=np.uint64)
        self._ends = np.concatenate([[0], np.frombuffer(forms.ends, dtype=np.uint32)])
        self._of = np.frombuffer(forms.of, dtype=np.uint16).astype(np.intp)
        self._known = np.zeros(1 << _FILTER_BITS, dtype=bool)
        self._known[_slot(self._keys, _FILTER_BITS)] = True
        self._stems = np.zeros(1 << _STEM_BITS, dtype=bool)
        self._stems[_slot(np.frombuffer(forms.stems, dtype=np.uint64), _STEM_BITS)] = True

    def find(self, letters: Letters) -> Concepts:
        """Return the concepts of each text, of phrases and of the words within them."""
        from_, to, keys = self._likely(letters)
        # In order they are found several times as fast: what was just looked at is near.
        order = keys.argsort()
        from_, to, keys = from_[order], to[order], keys[order]
        forms = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        held = self._keys[forms] == keys
        from_, to, forms = from_[held], to[held], forms[held]
        counts = self._ends[forms + 1] - self._ends[forms]
        nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        concepts = self._of[np.repeat(self._ends[forms], counts) + nth]
        return Concepts(np.repeat(from_, counts), np.repeat(to, counts), concepts)

    def _likely(self, letters: Letters) -> tuple[Places, Places, Hashes]:
        """Return runs that may be known, and their hashes.

        From the start of a word they go to the end of one, or as a stem to any letter of one.
        """
        starts, ends = letters.words()
        is_end = np.zeros(len(letters) + 1, dtype=bool)
        is_end[ends] = True
        # Runs past the last letter, a blank, are that to it: no form, and no word's end.
        to = np.minimum(starts[:, None] + np.arange(1, LONGEST + 1), len(letters))
        keys = letters.hashes(starts[:, None], to)
        whole = np.flatnonzero(is_end[to])
        whole = whole[self._known[_slot(keys.ravel()[whole], _FILTER_BITS)]]
        as_stems = mixed(keys ^ _AS_STEM).ravel()
        stems = np.flatnonzero(self._stems[_slot(as_stems, _STEM_BITS)])
        at = np.concatenate([whole, stems])
        return (
            starts[at // LONGEST],
            to.ravel()[at],
            np.concatenate([keys.ravel()[whole], as_stems[stems]]),
        )


def _slot(keys: Hashes, bits: int) -> Places:
    return np.asarray(keys >> np.uint64(64 - bits)).astype(np.intp)


def compiled(tables: Sequence[Mapping[str, Sequence[str]]], numbered: Sequence[str] = ()) -> Forms:
    """Compile thesauri, each from the names of concepts to forms; a form that ends in `*` is a stem.

    Concepts that are numbered keep their numbers, whatever is added or taken away: weights go by them.
    """
    names = [*numbered, *sorted({name for table in tables for name in table} - set(numbered))]
    place = {name: n for n, name in enumerate(names)}
    rows = [
        (_view(form.removesuffix("*")), form.endswith("*"), place[name])
        for table in tables
        for name, forms in table.items()
        for form in forms
    ]
    rows = [row for row in rows if 0 < len(row[0]) <= LONGEST]
    whole = hashes_of([form for form, _, _ in rows])
    is_stem = np.array([stem for _, stem, _ in rows])
    keys = np.where(is_stem, mixed(whole ^ _AS_STEM), whole)
    of = np.array([concept for _, _, concept in rows], dtype=np.uint16)
    stems = np.unique(keys[is_stem])
    pairs = sorted(set(zip(keys.tolist(), of.tolist(), strict=True)))
    forms, counts = np.unique(
        np.array([key for key, _ in pairs], dtype=np.uint64), return_counts=True
    )
    return Forms(
        tuple(names),
        forms.tobytes(),
        stems.tobytes(),
        np.cumsum(counts).astype(np.uint32).tobytes(),
        np.array([concept for _, concept in pairs], dtype=np.uint16).tobytes(),
    )


def _view(form: str) -> str:
    """Return a form as it stands in folded texts."""
    folded = fold(form)
    return _BLANKS.sub(" ", folded.squeezed or folded.text).strip()


def tables(folder: Path) -> list[dict[str, list[str]]]:
    """Read the thesauri of a folder, `concepts.*.toml`.

    Raises:
        ValueError: if one is no table of lists of words; it names the file.
    """
    read = []
    for path in sorted(folder.glob("concepts.*.toml")):
        try:
            read.append(msgspec.toml.decode(path.read_bytes(), type=dict[str, list[str]]))
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}: {error}") from None
    return read


def write(out: Path) -> Path:
    """Compile the thesauri of `detectors/data` into a folder, numbered as shipped, and return the file.

    Raises:
        ValueError: if one is no table of lists of words; it names the file.
    """
    compiled_to = out / "thesaurus.msgpack"
    source = Path(str(resources.files("detectors") / "data"))
    compiled_to.write_bytes(msgspec.msgpack.encode(compiled(tables(source), shipped().concepts)))
    return compiled_to


@cache
def shipped() -> Forms:
    """Load the compiled thesaurus of `detectors/models`."""
    path = Path(str(resources.files("detectors") / "models" / "thesaurus.msgpack"))
    return msgspec.msgpack.decode(path.read_bytes(), type=Forms)
