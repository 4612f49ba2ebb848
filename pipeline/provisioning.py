"""Provisioning: how the topics that are written to should be kept, as far as settings say it."""

from typing import Annotated

import msgspec

from schemas.document import Document

Days = Annotated[float, msgspec.Meta(gt=0, le=36_500)]


class Provisioning(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `penjaga topics` wants of the topics that are written to. A worker does not look at it."""

    partitions: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 12
    """Of each topic; one that has more keeps them."""
    replication: Annotated[int, msgspec.Meta(ge=1, le=32)] = 3
    min_in_sync: Annotated[int, msgspec.Meta(ge=1, le=32)] = 2
    """How many replicas must have a write before it is confirmed."""
    escalations_days: Days = 30.0
    shadow_days: Days = 7.0
    dead_letters_days: Days = 14.0
    """They hold whole messages: long enough to mend a mapping and replay, and no longer."""
    signals_days: Days = 7.0
    """Read at once; longer only for a worker that was away."""


def check(document: Document, wanted: Provisioning) -> None:
    """See that writes could be confirmed.

    Raises:
        DocumentError: with the line.
    """
    if wanted.min_in_sync > wanted.replication:
        problem = "min_in_sync: expected at most `replication`, or no write is ever confirmed"
        raise document.error(("provisioning", "min_in_sync"), problem)
