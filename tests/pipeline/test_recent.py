"""Rows of recent escalations: the newest of all processes, and nothing half written."""

import os

from pipeline.recent import ROWS, Recent, Row


def row(at: float, **changes: object) -> Row:
    """Return a row of the usual kind."""
    fields = {
        "at": at,
        "action": "review",
        "label": "fraud.scam",
        "score": 0.7,
        "found_by": ("scams",),
        "where": "dm",
    }
    return Row(**(fields | changes))


def test_the_newest_of_all_processes_come_first() -> None:
    """Each process overwrites its own oldest row, never another's."""
    recent = Recent(2)
    first, second = recent.writer(1), recent.writer(2)

    second.add(row(0.5))
    for number in range(ROWS + 3):
        first.add(row(float(number)))

    assert [float(number) for number in range(ROWS + 2, 2, -1)] == [r.at for r in recent.rows()]


def test_rows_of_a_forked_process_are_seen() -> None:
    """The memory is shared, not copied."""
    recent = Recent(2)
    child = os.fork()
    if child == 0:
        recent.writer(2).add(row(1.0))
        os._exit(0)
    os.waitpid(child, 0)

    assert [row(1.0)] == recent.rows()


def test_a_row_too_long_for_its_place_loses_names() -> None:
    """It still says when, what and how sure."""
    recent = Recent()
    recent.writer().add(row(1.0, found_by=("d" * 120,) * 9))

    assert [row(1.0, found_by=())] == recent.rows()


def test_a_half_written_row_is_left_out() -> None:
    """It does not parse; the others stand."""
    recent = Recent()
    writer = recent.writer()
    writer.add(row(1.0))
    writer.add(row(2.0))
    recent._memory[10:12] = b"\0\0"  # noqa: SLF001  # as another process would leave it

    assert [2.0] == [r.at for r in recent.rows()]
