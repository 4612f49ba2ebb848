"""The wire: every value that enters or leaves Penjaga. Imports nothing of ours."""

from schemas.event import Actor, Audience, Conversation, Event, Space, Target
from schemas.finding import Evidence, Finding
from schemas.rejected import Reason, Rejected
from schemas.verdict import (
    ACTIONS,
    ESCALATIONS,
    Action,
    EventReference,
    Excerpt,
    Severity,
    Verdict,
    verdict_id,
)

__all__ = [
    "ACTIONS",
    "ESCALATIONS",
    "Action",
    "Actor",
    "Audience",
    "Conversation",
    "Event",
    "EventReference",
    "Evidence",
    "Excerpt",
    "Finding",
    "Reason",
    "Rejected",
    "Severity",
    "Space",
    "Target",
    "Verdict",
    "verdict_id",
]
