"""Latest: the line as it is now. What changes while a worker runs is here.

Newer lists of bad links are taken as they come; brakes stop detectors that flood, and quotas hold back what
is more than people can look at. `Line` itself knows nothing of what was before.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from pipeline.brakes import Flood, Versions, flagging
from pipeline.feed_lists import FeedWatch
from pipeline.guard import Guard, Health
from pipeline.line import Line, with_lists
from pipeline.metrics import Metrics
from pipeline.quotas import Quotas
from pipeline.screen import Screening
from pipeline.settings import Settings

log: Final = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often newer lists are looked for."""


class LatestLine:
    """The line as it is now.

    It changes between batches: each is screened without a pause, on the event loop that `follow` runs on.
    """

    def __init__(
        self, settings: Settings, line: Line, watch: FeedWatch | None, folder: Path | None = None
    ) -> None:
        """Begin with a line that has the lists of the watch, if there is one.

        In the folder, if any, is kept which versions of detectors ran, and since when.
        """
        self._guard = Guard(settings.detectors, time.monotonic)
        self.line = msgspec.structs.replace(line, chain=line.chain.called_by(self._guard))
        self._health: dict[str, Health] = {}
        self._settings = settings
        self._watch = watch
        self._flood = Flood(settings.brakes)
        self._quotas = Quotas(settings.quotas)
        self._versions = Versions(folder / "detectors.json" if folder else None)
        self._changed = self._changed_lately()

    def screen(self, source: str, records: Sequence[bytes | None]) -> Screening:
        """Screen a batch as the line does, and look at who flagged how much of it."""
        screening = self.line.screen(source, records)
        spared = self._settings.brakes.spared
        flagged = flagging(self.line.policy, screening.verdicts.values(), spared)
        before = self._flood.stopped
        if self._flood.saw(len(records), flagged, self._changed):
            self.line = self._braked(self.line)
            for name in sorted(self._flood.stopped - before):
                log.error(
                    "detector %s was changed lately and flags more than %.0f %% of messages: what it "
                    "finds goes to the shadow topic until it flags little again, but for %s",
                    name,
                    100 * self._settings.brakes.flood_share,
                    ", ".join(spared) or "no label",
                )
            for name in sorted(before - self._flood.stopped):
                log.warning("detector %s flags little again, and escalates", name)
        verdicts = chain.from_iterable(screening.verdicts.values())
        held_back = self._quotas.held_back(verdicts, time.monotonic())
        return msgspec.structs.replace(screening, held_back=held_back) if held_back else screening

    def _braked(self, line: Line) -> Line:
        policy = line.policy.stopping(self._flood.stopped, self._settings.brakes.spared)
        return msgspec.structs.replace(line, policy=policy)

    def _changed_lately(self) -> frozenset[str]:
        running = {detector.name: detector.version for detector in self.line.chain.detectors}
        return self._versions.changed(running, time.time(), self._settings.brakes.changed_hours)

    async def follow(self, metrics: Metrics) -> None:
        """Take newer lists as they come, and say how the detectors fare, for ever."""
        while True:
            if self._watch is not None:
                self.refresh(self._watch, metrics)
            self.tell(metrics)
            await asyncio.sleep(LOOK_SECONDS)

    def tell(self, metrics: Metrics) -> None:
        """Say how the detectors fare; log whose breaker opened or closed."""
        former, self._health = self._health, self._guard.health()
        metrics.installed(self.line.chain.detectors, self._settings.sources)
        metrics.detectors(former, self._health, self._flood.stopped)
        self._changed = self._changed_lately()
        for name, health in self._health.items():
            before = former[name].state if name in former else "closed"
            if health.state == "open" != before:
                log.error(
                    "detector %s failed on %d batches in a row, or took too long over as many in a minute, "
                    "and is left alone for %g s; its events are `detector.failed`",
                    name,
                    self._settings.detectors.failures_in_a_row,
                    health.pause_seconds,
                )
            elif health.state == "closed" != before:
                log.warning("detector %s answers again", name)

    def refresh(self, watch: FeedWatch, metrics: Metrics) -> None:
        """Take newer lists, if there are any, and say how all of them fare."""
        if watch.refresh():
            former = self.line
            self.line = self._braked(with_lists(former, self._settings, watch.lists))
            metrics.configured(self.line.configuration, former.configuration)
            log.info("took newer lists of bad links; configuration %s", self.line.configuration)
        metrics.feeds(watch.states(), watch.lists.entries, datetime.now(UTC))
