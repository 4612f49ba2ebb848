"""The breaker: a detector that keeps failing, or keeps others waiting, is left alone for a while. Pure.

It opens after so many failed batches in a row; and after as many within a minute that held up everything
else (it took too long, or its process died), even with good ones between them: somebody may know a text that
does it. Then the detector is on trial for as long as the first pause. If it fails on trial it is left alone
again, for twice as long, up to `MOST_PAUSES` times the first.
"""

from typing import Final, Literal

import msgspec

State = Literal["closed", "open", "trying"]

STALL_SECONDS: Final = 60.0
"""For so long a batch that held up the others is held against a detector."""
MOST_PAUSES: Final = 8
"""With a pause of 30 s, 4 minutes: the second that a trial may cost then delays fewer than 1 in 100."""


class Breaker(msgspec.Struct, frozen=True):
    """How one detector has fared, and until when it is left alone."""

    in_a_row: int = 0
    """Failed batches since the last good one."""
    stalls: tuple[float, ...] = ()
    """When it lately held up the others."""
    open_until: float = 0.0
    """A time of the clock that `now` is of; 0 while it is closed."""
    pause: float = 0.0
    """How long it was left alone the last time, in seconds."""

    def state(self, now: float) -> State:
        """Return whether the detector is asked (`closed`), is not (`open`), or is on trial (`trying`)."""
        if not self.open_until:
            return "closed"
        return "open" if now < self.open_until else "trying"

    def after(
        self,
        now: float,
        *,
        failed: bool,
        held_up: bool,
        failures_in_a_row: int,
        pause_seconds: float,
    ) -> "Breaker":
        """Return the breaker after a batch that the detector was asked about."""
        is_bad = failed or held_up
        if self.state(now) == "open":  # it was asked before another batch opened it
            return self
        if self.state(now) == "trying":
            if is_bad:
                longer = min(2 * self.pause, MOST_PAUSES * pause_seconds)
                return Breaker(self.in_a_row + 1, (), now + longer, longer)
            return Breaker() if now >= self.open_until + pause_seconds else self
        lately = tuple(at for at in self.stalls if now - at < STALL_SECONDS)
        stalls = (*lately, now) if held_up else lately
        in_a_row = self.in_a_row + 1 if is_bad else 0
        if in_a_row >= failures_in_a_row or len(stalls) >= failures_in_a_row:
            return Breaker(in_a_row, (), now + pause_seconds, pause_seconds)
        return Breaker(in_a_row, stalls)
