"""The line: settings made into the mappings, detectors and policy that `screen` takes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pipeline import registry
from pipeline.chain import Chain
from pipeline.policy import Policy
from pipeline.screen import Screening, screen
from pipeline.settings import Settings
from schemas.labels import taxonomy
from schemas.source import SourceMapping


class Line(msgspec.Struct, frozen=True):
    """Everything that decides what becomes of a record, and the digest that stands for it."""

    mappings: dict[str, SourceMapping]
    chain: Chain
    policy: Policy
    configuration: str
    registered: tuple[registry.Registered, ...]

    def screen(self, source: str, records: Sequence[bytes | None]) -> Screening:
        """Screen a batch of records of one source."""
        return screen(records, self.mappings[source], self.chain, self.policy)


def line(settings: Settings, cache: Path | None) -> Line:
    """Put a line together.

    Raises:
        RegistryError: if a detector cannot be used.
        PatternError: if a detector's expression cannot be used.
    """
    registered = registry.load(settings.detectors)
    chain = Chain(registry.detectors(registered), cache)
    configuration = _configuration(settings, chain)
    policy = Policy(
        {label: rule for label, rule in settings.policy.items() if label != "default"},
        settings.policy["default"],
        taxonomy(),
        excerpt_characters=settings.escalations.excerpt_characters,
        configuration=configuration,
    )
    mappings = {topic: settings.mapping(topic) for topic in settings.sources}
    return Line(mappings, chain, policy, configuration, registered)


def _configuration(settings: Settings, chain: Chain) -> str:
    """Digest whatever a verdict depends on; where it comes from and goes to is left out."""
    parts = (
        taxonomy().version,
        chain.digest,
        settings.policy,
        settings.escalations,
        settings.limits,
        settings.sources,
    )
    content = msgspec.json.encode(parts, order="deterministic")
    return hashlib.sha256(content).hexdigest()[:16]
