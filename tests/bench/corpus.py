"""The corpus: simulated chat, the same for the same seed, and what it measurably consists of."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Final

import msgspec

from pipeline.line import Line
from pipeline.traffic import Sent, to_bytes, traffic
from schemas import ESCALATIONS

SEED: Final = 20_260_131
_BATCH_RECORDS: Final = 500
_START: Final = datetime(2026, 1, 31, tzinfo=UTC)


class Shares(msgspec.Struct, frozen=True):
    """What a corpus consists of, counted in it: shares of messages, lengths as median and 95th percentile."""

    messages: int
    seed: int
    harmful: float
    non_ascii: float
    with_link: float
    distinct_texts: float
    languages: dict[str, float]
    text_characters: tuple[int, int]
    record_bytes: tuple[int, int]


class Corpus(msgspec.Struct, frozen=True):
    """Records as a platform would send them."""

    records: tuple[bytes, ...]
    shares: Shares


@cache
def corpus(messages: int, seed: int = SEED) -> Corpus:
    """Simulate so many messages; a shorter corpus is the beginning of a longer one."""
    sent = list(islice(traffic(seed, start=_START), messages))
    records = tuple(to_bytes(one.event) for one in sent)
    return Corpus(records, _shares(sent, records, seed))


def batches(records: Sequence[bytes], size: int) -> list[list[bytes]]:
    """Cut records into batches; the last may be shorter."""
    return [list(records[at : at + size]) for at in range(0, len(records), size)]


def escalations(ready: Line, source: str, records: Sequence[bytes]) -> list[int]:
    """Return how many escalations each record makes, offline: what a worker has to come to."""
    made: list[int] = []
    for batch in batches(records, _BATCH_RECORDS):
        verdicts = ready.screen(source, batch).verdicts
        made += (
            sum(verdict.action in ESCALATIONS for verdict in verdicts.get(position, ()))
            for position in range(len(batch))
        )
    return made


def _shares(sent: Sequence[Sent], records: Sequence[bytes], seed: int) -> Shares:
    texts = [one.event.text for one in sent]
    count = len(sent)
    # A template is called `label.language.number`; the canary alone has no language.
    languages = Counter(
        one.template.split(".")[-2].partition("-")[0] for one in sent if "." in one.template
    )
    return Shares(
        messages=count,
        seed=seed,
        harmful=sum(bool(one.expected) and one.template != "canary" for one in sent) / count,
        non_ascii=sum(not text.isascii() for text in texts) / count,
        with_link=sum("https://" in text or "http://" in text for text in texts) / count,
        distinct_texts=len(set(texts)) / count,
        languages={language: n / count for language, n in languages.most_common()},
        text_characters=_median_and_95th([len(text) for text in texts]),
        record_bytes=_median_and_95th([len(record) for record in records]),
    )


def _median_and_95th(sizes: list[int]) -> tuple[int, int]:
    sizes.sort()
    return sizes[len(sizes) // 2], sizes[len(sizes) * 95 // 100]
