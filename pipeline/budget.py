"""Budget: the time that code of others may take, enforced by an alarm.

The alarm interrupts whatever runs as Python, a loop without end or a sleep too. It cannot interrupt a single
call into C that never returns, such as a backtracking `re.search`: a detector that may do that is to be
isolated (`pipeline.isolated`).
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class OverBudgetError(BaseException):
    """The time is up. No `Exception`, so that `except Exception` in the interrupted code does not keep it."""


class _Alarm:
    """The one timer of the process, and whether anybody waits for it."""

    def __init__(self) -> None:
        self._is_set = False

    def ring(self, _number: int, _frame: FrameType | None) -> None:
        """Interrupt, unless the code was done just before the alarm."""
        if self._is_set:
            self._is_set = False
            raise OverBudgetError

    @contextmanager
    def after(self, seconds: float) -> Iterator[None]:
        """Interrupt what is inside after so many seconds on the wall."""
        former = signal.signal(signal.SIGALRM, self.ring)
        self._is_set = True
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            self._is_set = False
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, former)


_ALARM = _Alarm()


@contextmanager
def budget(seconds: float) -> Iterator[None]:
    """Give the code inside so many seconds.

    Only the main thread of a process can be interrupted; elsewhere there is no limit.

    Raises:
        OverBudgetError: in the code inside, when they have passed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _ALARM.after(seconds):
        yield
