"""`penjaga feeds`: what the commands print, and how they end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder with two lists and their configuration, without settings from outside."""
    monkeypatch.chdir(tmp_path)
    for variable in [v for v in os.environ if v.startswith(("PENJAGA_", "KAFKA_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PENJAGA_CACHE_DIR", str(cache))
    monkeypatch.setenv("PENJAGA_FEEDS_DIR", str(tmp_path / "store"))
    (tmp_path / "bad.txt").write_text("evil.example.com\nbit.ly\nnothing\nexample.net\n")
    (tmp_path / "good.txt").write_text("example.net\n")
    (tmp_path / "penjaga.toml").write_text(
        f'[feeds.bad]\nurl = "{(tmp_path / "bad.txt").as_uri()}"\nlabel = "fraud.phishing"\n'
        f'[feeds.good]\nurl = "{(tmp_path / "good.txt").as_uri()}"\nsubtract = true\n'
    )
    return tmp_path


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, list[dict[str, object]], str]:
    """Run the command in this process; return its status, rows and errors."""
    monkeypatch.setattr(sys, "argv", ["penjaga", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    captured = capsys.readouterr()
    code = left.value.code
    lines = [line for line in captured.out.splitlines() if line.startswith("{")]
    rest = [line for line in captured.out.splitlines() if not line.startswith("{")]
    errors = captured.err + "\n".join(rest)
    return (code if isinstance(code, int) else 0), [json.loads(line) for line in lines], errors


def test_sync_status_and_lookup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Before, after, and when a source is gone: what is in use is told all along."""
    _, before, _ = run(capsys, monkeypatch, "feeds", "status")
    status, synced, _ = run(capsys, monkeypatch, "feeds", "sync")
    _, after, _ = run(capsys, monkeypatch, "feeds", "status")
    _, held, _ = run(capsys, monkeypatch, "feeds", "lookup", "https://evil.example.com/login")
    _, left_out, _ = run(capsys, monkeypatch, "feeds", "lookup", "bit.ly")
    (folder / "bad.txt").unlink()
    failed, rows, _ = run(capsys, monkeypatch, "feeds", "sync")

    assert [("never tried", 0, None)] * 2 == [
        (row["last_outcome"], row["entries"], row["age_seconds"]) for row in before
    ]
    assert (0, [("bad", "updated", 3), ("good", "updated", 1)]) == (
        status,
        [(row["feed"], row["outcome"], row["names"]) for row in synced],
    )
    assert ("fraud.phishing", 1) == (after[0]["label"], after[0]["entries"])
    assert {"malformed": 1, "shortener": 1, "subtracted": 1} == after[0]["left_out"]
    assert synced[0]["version"] == after[0]["version"] == held[0]["version"]
    assert ("bad", "evil.example.com", "listed", "fraud.phishing", 0.7) == tuple(
        held[0][key] for key in ("feed", "holds", "use", "label", "weight")
    )
    assert ("left out", None) == (left_out[0]["use"], left_out[0]["version"])
    assert "shortener" in str(left_out[0]["why"])
    assert (1, "unreachable", 3) == (failed, rows[0]["outcome"], rows[0]["names"])


@pytest.mark.parametrize(
    ("url", "status", "says"),
    [
        ("example.org", 0, "on none of 2 lists"),
        ("facebook.com", 0, "on none of 2 lists; it would be left out of any: an official domain"),
        ("vercel.app", 1, "never listed: a hosting service"),
        ("no link", 1, "never listed: no host and no URL"),
    ],
)
def test_a_lookup_says_why_there_is_nothing(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    status: int,
    says: str,
) -> None:
    """On no list, never on any, or no link at all."""
    run(capsys, monkeypatch, "feeds", "sync")
    code, rows, errors = run(capsys, monkeypatch, "feeds", "lookup", url)

    assert (status, []) == (code, rows)
    assert says in errors


@pytest.mark.parametrize("command", [("sync",), ("status",), ("lookup", "example.com")])
def test_without_a_feed_the_configuration_is_what_is_missing(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    command: tuple[str, ...],
) -> None:
    """Status 2, and where to look."""
    (folder / "penjaga.toml").write_text("")
    code, _, errors = run(capsys, monkeypatch, "feeds", *command)

    assert 2 == code
    assert "no feed is configured" in errors


def test_a_folder_that_cannot_be_used_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Status 2, and which variable names another."""
    (folder / "store").write_text("")
    code, _, errors = run(capsys, monkeypatch, "feeds", "sync")

    assert 2 == code
    assert errors.startswith("penjaga: ")
    assert "PENJAGA_FEEDS_DIR" in errors


def test_a_damaged_file_is_told_and_lookups_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """`status` and `lookup` say to sync again."""
    run(capsys, monkeypatch, "feeds", "sync")
    (folder / "store" / "feeds.index").write_bytes(b"damaged")
    _, rows, errors = run(capsys, monkeypatch, "feeds", "status")
    _, held, _ = run(capsys, monkeypatch, "feeds", "lookup", "evil.example.com")

    assert [0, 0] == [row["entries"] for row in rows]
    assert "run `penjaga feeds sync`" in errors
    assert "not compiled" == held[0]["use"]


def test_scanned_texts_are_looked_up_once_lists_are_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """`penjaga scan` uses what is compiled, `config check` and `detectors list` tell of it."""
    with (folder / "penjaga.toml").open("a") as file:
        file.write('[detectors]\nonly = ["canary", "listed_links"]\n')
    (folder / "in.jsonl").write_text('{"text": "see https://evil.example.com/login"}\n')
    _, (without,), _ = run(capsys, monkeypatch, "scan", "in.jsonl")
    _, _, first = run(capsys, monkeypatch, "config", "check")
    run(capsys, monkeypatch, "feeds", "sync")
    _, (with_lists,), _ = run(capsys, monkeypatch, "scan", "in.jsonl")
    _, _, second = run(capsys, monkeypatch, "config", "check")
    _, detectors, _ = run(capsys, monkeypatch, "detectors", "list")
    (listed,) = [row for row in detectors if row["name"] == "listed_links"]

    assert ("none", "review") == (without["action"], with_lists["action"])
    assert {"fraud.phishing": 0.7} == with_lists["scores"]
    assert "feed           bad: fraud.phishing" in second
    assert "feed           good: innocents" in second
    assert first.splitlines()[1] != second.splitlines()[1]
    assert (True, ["fraud.phishing"]) == (listed["in_use"], listed["labels"])


def test_sync_goes_on_until_it_is_told_to_stop(folder: Path) -> None:
    """With --every it looks again by itself, for feeds whose interval has passed."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pipeline",
            "feeds",
            "sync",
            "--every",
            "1",
            "--config",
            "penjaga.toml",
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        first = [json.loads(process.stdout.readline()) for _ in range(2)]
        # As if an hour had passed since the last attempt.
        state = folder / "store" / "state.json"
        told = json.loads(state.read_text())
        for feed in told.values():
            feed["checked_at"] = "2026-01-01T00:00:00Z"
        state.write_text(json.dumps(told))
        second = [json.loads(process.stdout.readline()) for _ in range(2)]
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(30)
        process.stdout.close()

    assert 0 == status
    assert ["updated"] * 2 == [row["outcome"] for row in first]
    assert ["unchanged"] * 2 == [row["outcome"] for row in second]
