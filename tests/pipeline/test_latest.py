"""Latest: a running worker takes newer lists between batches, and says how they fare."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from pipeline import latest
from pipeline.feed_lists import FeedWatch
from pipeline.latest import LatestLine
from pipeline.line import line
from pipeline.metrics import Metrics
from pipeline.settings import Detectors, Settings
from tests.pipeline.events import record
from tests.pipeline.lists import file_feed, synced

SOURCE = "platform.events"
RECORD = record("see https://evil.example.com/a")


async def test_newer_lists_are_taken_without_a_restart(tmp_path: Path, cache: Path) -> None:
    """The next batch is screened with them, under another configuration, which metrics tell."""
    store = tmp_path / "store"
    feeds = {"phish": file_feed(tmp_path / "a.txt", "evil.example.com\n")}
    settings = Settings(detectors=Detectors(only=("listed_links",)), feeds=feeds)
    watch = FeedWatch(feeds, store)
    newest = LatestLine(settings, line(settings, cache, watch.lists), watch)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    before = newest.line
    metrics.configured(before.configuration)
    flagged = [newest.line.screen(SOURCE, [RECORD]).flagged]
    following = asyncio.create_task(newest.follow(metrics))
    try:
        await synced(feeds, store)
        async with asyncio.timeout(30):
            while newest.line is before:  # noqa: ASYNC110  # a change of an attribute has no event
                await asyncio.sleep(latest.LOOK_SECONDS / 10)
    finally:
        following.cancel()
    flagged.append(newest.line.screen(SOURCE, [RECORD]).flagged)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert [0, 1] == flagged
    assert before.configuration != newest.line.configuration
    assert 1 == value("penjaga_feed_entries", feed="phish")
    assert 1 == value("penjaga_feed_last_sync", feed="phish", outcome="updated")
    told = {
        sample.labels["digest"]
        for family in registry.collect()
        if family.name == "penjaga_configuration_info"
        for sample in family.samples
    }
    assert {newest.line.configuration} == told


async def test_without_feeds_no_feed_is_told_of(cache: Path) -> None:
    """Following goes on for the detectors' sake, and no metric of a feed appears."""
    settings = Settings(detectors=Detectors(only=("canary",)))
    registry = CollectorRegistry()
    latest = LatestLine(settings, line(settings, cache), None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await latest.follow(Metrics(registry))

    samples = [s for family in registry.collect() for s in family.samples]
    assert [] == [s.name for s in samples if "feed" in s.name]
