"""Latest: the line with the newest lists of bad links, the one thing that changes while a worker runs."""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Final

import msgspec

from pipeline.feed_lists import FeedWatch
from pipeline.guard import Guard, Health
from pipeline.line import Line, with_lists
from pipeline.metrics import Metrics
from pipeline.settings import Settings

log: Final = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often newer lists are looked for."""


class LatestLine:
    """The line as it is now.

    It changes between batches: each is screened without a pause, on the event loop that `follow` runs on.
    """

    def __init__(self, settings: Settings, line: Line, watch: FeedWatch | None) -> None:
        """Begin with a line that has the lists of the watch, if there is one."""
        self._guard = Guard(settings.detectors, time.monotonic)
        self.line = msgspec.structs.replace(line, chain=line.chain.called_by(self._guard))
        self._health: dict[str, Health] = {}
        self._settings = settings
        self._watch = watch

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
        metrics.detectors(former, self._health)
        for name, health in self._health.items():
            before = former[name].state if name in former else "closed"
            if health.state == "open" != before:
                log.error(
                    "detector %s failed on %d batches in a row and is left alone for %g s; its events are "
                    "`detector.failed`",
                    name,
                    self._settings.detectors.failures_in_a_row,
                    self._settings.detectors.pause_seconds,
                )
            elif health.state == "closed" != before:
                log.warning("detector %s answers again", name)

    def refresh(self, watch: FeedWatch, metrics: Metrics) -> None:
        """Take newer lists, if there are any, and say how all of them fare."""
        if watch.refresh():
            former, self.line = self.line, with_lists(self.line, self._settings, watch.lists)
            metrics.configured(self.line.configuration, former.configuration)
            log.info("took newer lists of bad links; configuration %s", self.line.configuration)
        metrics.feeds(watch.states(), watch.lists.entries, datetime.now(UTC))
