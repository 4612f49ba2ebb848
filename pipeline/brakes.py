"""Brakes: a detector that was changed and now flags much of the traffic no longer escalates.

A new term, list or model that fires on everyday talk would bury the people who review. What such a detector
finds goes to the shadow topic instead, where it can be looked at and loses nothing, until it flags little
again. Without a change it is the traffic that changed, and everything is escalated as ever. Labels that are
`spared`, those of children's safety unless told otherwise, are always escalated.
"""

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from pipeline.policy import Policy
from pipeline.settings import Brakes
from schemas import Verdict
from schemas.labels import is_of

log: Final = logging.getLogger(__name__)

_RELEASED_BELOW: Final = 0.5
"""A detector may escalate again when it flags less than this part of the share that made it stop."""
_HOUR: Final = 3600.0

_decoder: Final = msgspec.json.Decoder(dict[str, dict[str, float]])


class Flood:
    """How much of the latest messages each detector flags, and which of them have to stop. Pure."""

    def __init__(self, brakes: Brakes) -> None:
        """Begin with nobody flagging anything."""
        self._brakes = brakes
        self._messages = 0
        self._flagged: Counter[str] = Counter()
        self.stopped: frozenset[str] = frozenset()

    def saw(self, messages: int, flagged: Iterable[str], changed: frozenset[str]) -> bool:
        """Take note of a batch; return whether other detectors are `stopped` now.

        `flagged` names a detector once for each message that it flagged; `changed` names those that may have
        to stop.
        """
        brakes, before = self._brakes, self.stopped
        self._messages += messages
        self._flagged.update(flagged)
        most = brakes.flood_share * brakes.flood_messages
        flooding = {name for name in changed if self._flagged[name] > most}
        self.stopped |= flooding
        if self._messages >= brakes.flood_messages:
            least = _RELEASED_BELOW * brakes.flood_share * self._messages
            self.stopped = frozenset(n for n in self.stopped if self._flagged[n] >= least)
            self._messages = 0
            self._flagged.clear()
        return self.stopped != before


def flagging(
    policy: Policy, verdicts: Iterable[Sequence[Verdict]], spared: tuple[str, ...]
) -> list[str]:
    """Name, once for each message, every detector for which alone it would be escalated."""
    return [
        name
        for of_message in verdicts
        for name in {
            finding.detector
            for verdict in of_message
            if not is_of(verdict.label, spared)
            for finding in verdict.findings
            if policy.would_escalate(finding)
        }
    ]


class Versions:
    """When this machine first ran each version of each detector, kept in a file."""

    def __init__(self, path: Path | None) -> None:
        """Read the file, if there is one; what cannot be read was never seen."""
        self._path = path
        self._seen: dict[str, dict[str, float]] = {}
        if path is not None:
            with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
                self._seen = _decoder.decode(path.read_bytes())

    def changed(self, running: Mapping[str, str], now: float, hours: float) -> frozenset[str]:
        """Return the detectors of which the running version is no older than so many hours."""
        seen = {
            name: {version: self._seen.get(name, {}).get(version, now)}
            for name, version in running.items()
        }
        if seen != self._seen:
            self._seen = seen
            self._keep()
        return frozenset(
            name for name, version in running.items() if now - seen[name][version] < hours * _HOUR
        )

    def _keep(self) -> None:
        if self._path is None:
            return
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            partial.write_bytes(msgspec.json.encode(self._seen))
            partial.replace(self._path)
        except OSError as error:
            log.warning("cannot keep which detectors ran in %s: %s", self._path, error.strerror)
