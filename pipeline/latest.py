"""Latest: the line with the newest lists of bad links, the one thing that changes while a worker runs."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from pipeline.feed_lists import FeedWatch
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
        self.line = line
        self._settings = settings
        self._watch = watch

    async def follow(self, metrics: Metrics) -> None:
        """Take newer lists as they come, for ever; without a watch, return."""
        while self._watch is not None:
            self.refresh(self._watch, metrics)
            await asyncio.sleep(LOOK_SECONDS)

    def refresh(self, watch: FeedWatch, metrics: Metrics) -> None:
        """Take newer lists, if there are any, and say how all of them fare."""
        if watch.refresh():
            former, self.line = self.line, with_lists(self.line, self._settings, watch.lists)
            metrics.configured(self.line.configuration, former.configuration)
            log.info("took newer lists of bad links; configuration %s", self.line.configuration)
        metrics.feeds(watch.states(), watch.lists.entries, datetime.now(UTC))
