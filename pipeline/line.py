"""The line: settings made into the mappings, detectors and policy that `screen` takes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from detectors.contract import Lists
from pipeline import registry
from pipeline.chain import Chain
from pipeline.correlate import Watch
from pipeline.policy import Policy
from pipeline.screen import Screening, screen
from pipeline.settings import Settings
from schemas import Reason, Rejected
from schemas.labels import taxonomy
from schemas.source import SourceMapping


class Line(msgspec.Struct, frozen=True):
    """Everything that decides what becomes of a record, and the digest that stands for it."""

    mappings: dict[str, SourceMapping]
    chain: Chain
    policy: Policy
    watch: Watch
    configuration: str
    registered: tuple[registry.Registered, ...]

    def screen(self, source: str, records: Sequence[bytes | None]) -> Screening:
        """Screen a batch of records of one source.

        A record that breaks the line itself, beyond the isolation of detectors, is rejected alone.
        """
        try:
            return screen(records, self.mappings[source], self.chain, self.policy, self.watch)
        except Exception:  # noqa: BLE001  # one poison record must not hold up its partition for ever
            return _merged([self._alone(source, record) for record in records])

    def _alone(self, source: str, record: bytes | None) -> Screening:
        try:
            return screen([record], self.mappings[source], self.chain, self.policy, self.watch)
        except Exception as error:  # noqa: BLE001
            detail = f"screening raised {type(error).__name__}; please report it with this record"
            rejected = Rejected(reason=Reason.SCREENING_FAILED, detail=detail)
            return Screening((rejected,), {0: rejected}, {}, {})


def _merged(screenings: Sequence[Screening]) -> Screening:
    """Join screenings of one record each."""
    return Screening(
        tuple(s.events[0] for s in screenings),
        {p: s.rejected[0] for p, s in enumerate(screenings) if s.rejected},
        {p: s.findings[0] for p, s in enumerate(screenings) if s.findings},
        {p: s.verdicts[0] for p, s in enumerate(screenings) if s.verdicts},
        {p: s.signals[0] for p, s in enumerate(screenings) if s.signals},
    )


def line(settings: Settings, cache: Path | None, lists: Lists | None = None) -> Line:
    """Put a line together; without `lists`, without the detectors that read them.

    Raises:
        RegistryError: if a detector cannot be used.
        PatternError: if a detector's expression cannot be used.
    """
    registered = registry.load(settings.detectors, lists, cache)
    chain = Chain(registry.detectors(registered), cache)
    mappings = {topic: settings.mapping(topic) for topic in settings.sources}
    return _line(settings, mappings, chain, registered)


def with_lists(old: Line, settings: Settings, lists: Lists) -> Line:
    """Return the line with newer lists, and a configuration of its own; patterns are not compiled again."""
    registered = registry.with_lists(old.registered, lists)
    chain = old.chain.behind(registry.detectors(registered))
    return _line(settings, old.mappings, chain, registered)


def _line(
    settings: Settings,
    mappings: dict[str, SourceMapping],
    chain: Chain,
    registered: tuple[registry.Registered, ...],
) -> Line:
    configuration = _configuration(settings, chain)
    policy = Policy(
        {label: rule for label, rule in settings.policy.items() if label != "default"},
        settings.policy["default"],
        taxonomy(),
        excerpt_characters=settings.escalations.excerpt_characters,
        configuration=configuration,
    )
    watch = Watch(settings.behaviours, taxonomy(), configuration, settings.signals.floor)
    return Line(mappings, chain, policy, watch, configuration, registered)


def _configuration(settings: Settings, chain: Chain) -> str:
    """Digest whatever a verdict depends on; where it comes from and goes to is left out."""
    parts = (
        taxonomy().version,
        chain.digest,
        settings.policy,
        settings.escalations,
        settings.limits,
        settings.sources,
        settings.signals,
        settings.behaviours,
    )
    content = msgspec.json.encode(parts, order="deterministic")
    return hashlib.sha256(content).hexdigest()[:16]
