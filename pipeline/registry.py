"""The registry: which detectors are installed, and which of them are in use."""

from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final

import msgspec

from detectors.contract import Detector, Lists, Pattern, ReadsLists
from detectors.lexicon import Lexicon
from pipeline.isolated import Isolated, NotIsolableError
from pipeline.settings import Detectors
from schemas.document import DocumentError
from schemas.labels import taxonomy

GROUP: Final = "penjaga.detectors"


class RegistryError(ValueError):
    """A detector that cannot be used: which, from which package, and why."""


class Registered(msgspec.Struct, frozen=True):
    """A detector in use and the distribution it came with."""

    detector: Detector
    distribution: str


def installed() -> dict[str, EntryPoint]:
    """Return the entry points of every installed detector by name, in order.

    Raises:
        RegistryError: if two packages provide the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: (e.name, e.value)):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise RegistryError(
                f"detector `{entry.name}` is provided twice: {other.value} ({_distribution(other)}) and "
                f"{entry.value} ({_distribution(entry)}); uninstall one"
            )
        found[entry.name] = entry
    return found


def load(
    selection: Detectors, lists: Lists | None = None, cache: Path | None = None
) -> tuple[Registered, ...]:
    """Load the detectors in use, in order of their names; those that read lists, only if there are `lists`.

    Lexicons are checked, but for those of which `cache` tells that they have passed.

    Raises:
        RegistryError: if a named detector is not installed, cannot be loaded, or breaks the contract.
    """
    available = installed()
    for name in (*selection.only, *selection.without, *selection.isolated):
        if name not in available:
            raise RegistryError(
                f"detector `{name}` is not installed; installed are {', '.join(available) or 'none'}"
            )
    names = [n for n in selection.only or available if n not in selection.without]
    loaded = {name: _load(available[name], lists, cache) for name in sorted(names)}
    idle = [name for name, registered in loaded.items() if registered is None]
    for name in idle:
        if name in selection.only:
            raise RegistryError(
                f"detector `{name}` has no lists to look in: configure [feeds.<name>]"
            )
    if len(idle) == len(names):
        raise RegistryError("no detector is in use: check `only` and `without` in [detectors]")
    return tuple(
        _isolated(registered, available[name], selection)
        if name in selection.isolated
        else registered
        for name, registered in loaded.items()
        if registered is not None
    )


def _check(lexicon: Lexicon, cache: Path | None) -> None:
    """Check a lexicon, and remember that it passed; without a writable cache a start only takes longer."""
    passed = cache / f"lexicon-{lexicon.proof}" if cache else None
    if passed is not None and passed.exists():
        return
    lexicon.check()
    if passed is not None:
        with suppress(OSError):
            passed.parent.mkdir(parents=True, exist_ok=True)
            passed.touch()


def _isolated(registered: Registered, entry: EntryPoint, selection: Detectors) -> Registered:
    try:
        detector = Isolated(
            registered.detector, entry, selection.budget_seconds, selection.isolated_memory_bytes
        )
    except NotIsolableError as error:
        raise RegistryError(f"detector `{entry.name}` ({entry.value}): {error}") from None
    return Registered(detector, registered.distribution)


def with_lists(registered: Sequence[Registered], lists: Lists) -> tuple[Registered, ...]:
    """Return the same detectors, those that read lists with these."""
    return tuple(
        Registered(r.detector.with_lists(lists), r.distribution)
        if isinstance(r.detector, ReadsLists)
        else r
        for r in registered
    )


def detectors(registered: Sequence[Registered]) -> tuple[Detector, ...]:
    """Return the detectors alone."""
    return tuple(r.detector for r in registered)


def _load(entry: EntryPoint, lists: Lists | None, cache: Path | None) -> Registered | None:
    where = f"detector `{entry.name}` ({entry.value}, {_distribution(entry)})"
    try:
        detector = entry.load()()
        for lexicon in getattr(detector, "lexicons", ()):
            _check(lexicon, cache)
    except DocumentError as error:
        raise RegistryError(f"{where}: {error}") from None
    except Exception as error:
        raise RegistryError(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
    if isinstance(detector, ReadsLists):
        if lists is None:
            return None
        detector = detector.with_lists(lists)
    if not isinstance(detector, Detector):
        raise RegistryError(
            f"{where} is no detector: expected name, version, labels, patterns, scan"
        )
    if detector.name != entry.name:
        raise RegistryError(f"{where} calls itself `{detector.name}`: the two names must agree")
    if not all(isinstance(pattern, Pattern) for pattern in detector.patterns):
        raise RegistryError(f"{where}: expected `patterns` to hold detectors.contract.Pattern")
    unknown = sorted(label for label in detector.labels if label not in taxonomy())
    if unknown or not detector.labels:
        raise RegistryError(
            f"{where}: unknown label {', '.join(unknown) or '(none declared)'}; see schemas/labels.toml; "
            "labels of your own go below `custom.`"
        )
    return Registered(detector, _distribution(entry))


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown package"
