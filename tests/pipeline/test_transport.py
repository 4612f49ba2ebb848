"""The transport without a broker: how it is chosen, what it runs with, and chunks that get lost."""

import collections
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP

from pipeline.offsets import Span
from pipeline.transport import (
    SCHEME,
    Chunk,
    Consumer,
    Transport,
    UntestedVersionError,
    batched,
    check_versions,
)

SPAN = Span(TP("events", 1), 1, 0, 10, 13)
RECORDS = [SimpleNamespace(offset=n, key=b"k", value=b"%d" % n, headers=()) for n in (10, 12)]


def app(scheme: str, **settings: Any) -> faust.App:
    """Return an app that is never started."""
    return faust.App("test", broker=f"{scheme}://127.0.0.1:1", web_enabled=False, **settings)


def test_the_scheme_of_the_address_chooses_the_transport() -> None:
    """Faust finds it by its entry point, and the consumer comes with it."""
    transport: Any = app(SCHEME).transport

    assert Transport is type(transport)
    assert Consumer is transport.Consumer


def test_a_batched_topic_is_never_acknowledged() -> None:
    """Faust commits nothing of it; of several topics the shortest wait counts."""
    mine = app(SCHEME)
    topic = batched(mine, "events", records=7, seconds=0.5)
    batched(mine, "more", records=9, seconds=0.1)
    transport: Any = mine.transport

    assert not topic.acks
    assert {"events": 7, "more": 9} == transport.batched
    assert 0.1 == transport.wait_seconds


def test_a_batched_topic_needs_this_transport() -> None:
    """On another one every record would be an event of its own, and committed by Faust."""
    with pytest.raises(TypeError, match="batched://"):
        batched(app("aiokafka"), "events", records=7, seconds=0.5)


def test_a_batched_topic_needs_room_in_the_queue() -> None:
    """A full queue would hold up the topics beside it; this one's never is."""
    with pytest.raises(TypeError, match="stream_buffer_maxsize"):
        batched(app(SCHEME, stream_buffer_maxsize=31), "events", records=7, seconds=0.5)


def test_the_installed_versions_are_tested_ones() -> None:
    """Otherwise no worker of this installation would start."""
    check_versions()


def test_an_untested_version_is_refused() -> None:
    """The message says what is installed, what was expected, and what to do."""
    with pytest.raises(UntestedVersionError) as refused:
        check_versions({"faust-streaming": frozenset({"0.0.1", "0.0.2"})})

    assert "faust-streaming 0.15.3 is installed" in str(refused.value)
    assert "0.0.1, 0.0.2" in str(refused.value)
    assert "pip install 'faust-streaming==0.0.2'" in str(refused.value)


def test_a_chunk_knows_its_values() -> None:
    """The hot path needs no more of the records."""
    chunk = Chunk(SPAN, RECORDS, collections.deque())

    assert [b"10", b"12"] == chunk.values
    assert 2 == len(chunk)


@pytest.mark.parametrize(("is_confirmed", "dropped"), [(False, [SPAN]), (True, [])])
def test_a_chunk_that_nobody_confirmed_is_missed(
    is_confirmed: bool,  # noqa: FBT001  # a parameter of the test
    dropped: list[Span[TP]],
) -> None:
    """When nothing refers to it any more, its span is there to be read again."""
    missed: collections.deque[Span[TP]] = collections.deque()
    chunk = Chunk(SPAN, RECORDS, missed)
    chunk.is_confirmed = is_confirmed
    before = list(missed)
    del chunk

    assert [] == before
    assert dropped == list(missed)
