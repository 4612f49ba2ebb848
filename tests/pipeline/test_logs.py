"""Logs: one JSON object a line, and never what a message said."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from pipeline import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {
        n: logging.getLogger(n).level for n in ("aiokafka", "faust", "mode", "aiohttp.access")
    }
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, own in levels.items():
        logging.getLogger(name).setLevel(own)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return what was logged."""
    captured = capsys.readouterr()
    assert "" == captured.out
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_says_when_how_grave_who_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is logged is one line, also when it holds line breaks."""
    logs.configure()
    logging.getLogger("pipeline.app").warning("read %d\nrecords of %s", 3, "topic")
    [line] = lines(capsys)

    assert {"time", "level", "logger", "message"} == set(line)
    assert ("warning", "pipeline.app", "read 3\nrecords of topic") == (
        line["level"],
        line["logger"],
        line["message"],
    )
    assert str(line["time"]).endswith("+00:00")


def test_an_exception_shows_its_kind_and_places_never_its_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither its own message nor that of what caused it: either may quote a message."""
    logs.configure()
    try:
        try:
            int("secret text")
        except ValueError as error:
            raise RuntimeError("while reading secret text") from error
    except RuntimeError:
        logging.getLogger("pipeline.app").exception("a batch failed")
    err = capsys.readouterr().err
    line = json.loads(err)

    assert "secret" not in err
    assert "RuntimeError" == line["error"]
    assert [__file__] == [place.split(":")[0] for place in line["at"]]


def test_notes_and_stacks_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """What Python can add to an exception is not logged either."""
    logs.configure()
    try:
        error = ValueError("secret")
        error.add_note("secret note")
        raise error
    except ValueError:
        logging.getLogger("x").exception("failed", stack_info=True)
    err = capsys.readouterr().err

    assert "secret" not in err
    assert "ValueError" == json.loads(err)["error"]


def test_text_that_is_no_unicode_does_not_end_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Half a surrogate pair in an argument, such as a file name, is logged all the same."""
    logs.configure()
    logging.getLogger("x").warning("cannot read %s", "\udcff")
    logging.getLogger("x").warning("next")
    found = lines(capsys)

    assert 2 == len(found)
    assert "next" == found[1]["message"]


def test_libraries_are_silent_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Their errors are retried or end the worker with a line of ours; `verbose` shows them."""
    logs.configure()
    logging.getLogger("aiokafka").error("quiet")
    logs.configure(verbose=True)
    logging.getLogger("aiokafka").error("loud")
    found = lines(capsys)

    assert ["loud"] == [line["message"] for line in found]


def test_logs_go_to_standard_error() -> None:
    """Standard output belongs to results."""
    logs.configure()
    [handler] = logging.getLogger().handlers

    assert isinstance(handler, logging.StreamHandler)
    assert sys.stderr is handler.stream
