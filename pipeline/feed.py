"""A feed: a list of bad links that somebody publishes, as the configuration describes it."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from schemas.document import Document
from schemas.labels import taxonomy

Format = Literal["plain", "hosts", "adblock", "csv", "json", "jsonl"]
FeedName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]

_INTERNAL: Final = "internal"


class Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a list is, how it is written, and what to make of a link that it holds.

    A list with `subtract` is one of innocents: its names are taken out of all other lists, and what lies
    below them too where it is written `*.example.com` or `||example.com^`.
    """

    url: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^/\s]+|file:///)\S*$", max_length=2000)]
    format: Format = "plain"
    label: str = ""
    """What a listed link is suspected of; an id of `schemas/labels.toml`, or one below `custom.`."""
    weight: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.7
    """The score of a finding: how sure being on this list makes one."""
    subtract: bool = False
    column: str | Annotated[int, msgspec.Meta(ge=1)] = ""
    """Of CSV: the column's name in the header, or its number from 1 where there is none."""
    delimiter: Literal[",", ";", "\t", "|"] = ","
    field: str = ""
    """Of JSON: the path to the names, such as `data.url`; lists on the way are gone through."""
    interval_seconds: Annotated[float, msgspec.Meta(ge=60)] = 3600.0
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 60.0
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 67_108_864
    """The most that is read of it, and that it may become when it is unpacked."""
    least_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """A list with fewer names than this share of the last good one is not believed."""


def check(document: Document, feeds: Mapping[str, Feed]) -> None:
    """See that each feed can be read and says something.

    Raises:
        DocumentError: with the line of the feed that cannot be used.
    """
    labels = taxonomy()
    for name, feed in feeds.items():
        if feed.subtract and feed.label:
            problem = (
                "expected either `label` or `subtract`: a list is of bad links or of innocents"
            )
            raise document.error(("feeds", name, "subtract"), f"{name}: {problem}")
        if not feed.subtract:
            is_known = feed.label in labels and labels[feed.label].status != _INTERNAL
            if not is_known:
                raise document.error(
                    ("feeds", name, "label"),
                    f"{name}: unknown label `{feed.label}`, expected one of "
                    + ", ".join(f"`{i}`" for i in labels.ids if labels[i].status != _INTERNAL),
                )
        if (feed.format == "csv") != bool(feed.column):
            problem = "expected `column` where the format is csv, and only there"
            raise document.error(("feeds", name, "column"), f"{name}: {problem}")
        if feed.field and feed.format not in ("json", "jsonl"):
            problem = "expected `field` only where the format is json or jsonl"
            raise document.error(("feeds", name, "field"), f"{name}: {problem}")
