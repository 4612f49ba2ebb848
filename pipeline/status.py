"""Exit statuses: what a supervisor or a script learns from the end of a process. Numbers of sysexits.h."""

from typing import Final

REJECTED: Final = 1
"""Done, but some input was rejected."""
UNMET: Final = 1
"""Done, but a figure that was required was not reached."""
CHANGES: Final = 2
"""Done, and there is something to apply: of `penjaga topics plan` alone."""
CONFIGURATION: Final = 2
"""The command line, the configuration, a detector or a lexicon is wrong."""
UNREACHABLE: Final = 69
"""EX_UNAVAILABLE: no broker, a topic is missing, or the web port is taken."""
CRASHED: Final = 70
"""EX_SOFTWARE: a bug, or a crash below."""
UNDELIVERED: Final = 75
"""EX_TEMPFAIL: start again, and the uncommitted records are read again."""
