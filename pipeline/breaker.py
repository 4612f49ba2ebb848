"""The breaker: a detector that keeps failing is left alone for a while, then tried again. Pure."""

from typing import Literal

import msgspec

State = Literal["closed", "open", "trying"]


class Breaker(msgspec.Struct, frozen=True):
    """How one detector has fared, and until when it is left alone."""

    in_a_row: int = 0
    """Failed batches since the last good one."""
    open_until: float = 0.0
    """A time of the clock that `now` is of; 0 while it is closed."""

    def state(self, now: float) -> State:
        """Return whether the detector is asked (`closed`), is not (`open`), or is on trial (`trying`)."""
        if not self.open_until:
            return "closed"
        return "open" if now < self.open_until else "trying"

    def after(
        self, now: float, *, failed: bool, failures_in_a_row: int, pause_seconds: float
    ) -> "Breaker":
        """Return the breaker after a batch; one that fails on trial opens again at once."""
        if not failed:
            return Breaker()
        in_a_row = self.in_a_row + 1
        is_open = in_a_row >= failures_in_a_row
        return Breaker(in_a_row, now + pause_seconds if is_open else 0.0)
