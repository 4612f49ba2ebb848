"""Logs: one JSON object a line, and never what a message said."""

import json
import logging
import subprocess
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


SPEAKING = """
import asyncio, gc, sys, threading, warnings
from pipeline import logs

logs.configure()


class Broken:
    def __del__(self):
        raise ValueError("secret text")


async def forget():
    async def fail():
        raise ValueError("secret text")

    task = asyncio.ensure_future(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()


def fail():
    raise KeyError("secret text")


warnings.warn("secret text", stacklevel=1)
Broken()
asyncio.run(forget())
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise RuntimeError("secret text")
"""


def test_what_python_prints_by_itself_is_logged_without_its_words() -> None:
    """A warning, what a destructor or a thread raised, a task that nobody awaited, and the end of it all."""
    done = subprocess.run(
        [sys.executable, "-c", SPEAKING], capture_output=True, check=False, text=True
    )
    said = [json.loads(line) for line in done.stderr.splitlines()]

    assert done.returncode == 1
    assert [None, "ValueError", "ValueError", "KeyError", "RuntimeError"] == [
        line.get("error") for line in said
    ]
    assert "UserWarning in <string>:" in said[0]["message"]
    assert said[2]["message"] == "Task exception was never retrieved"
    assert "secret text" not in done.stderr
