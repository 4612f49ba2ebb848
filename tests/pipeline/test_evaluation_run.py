"""`penjaga evaluate`, as an analyst and a script run it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the extra `evaluate` brings scikit-learn")

from pipeline.evaluation_run import Asked, evaluation
from pipeline.labelled import Reading, read
from pipeline.line import Line
from pipeline.requirement import Requirement
from schemas.record import Limits
from tests.pipeline.events import CANARY

ROOT = Path(__file__).parents[2]
NEW = '[detectors]\nonly = ["canary"]\n'
OLD = NEW + '[policy."canary.seen"]\nshadow = 0.5\n'
LINES = (
    {"text": f"{CANARY} selamat pagi", "label": "seen", "language": "ms", "slice": "plain"},
    {"text": f"早安 {CANARY}", "label": "canary.seen", "language": "zh", "slice": "plain"},
    {"text": "it was here yesterday", "label": "seen", "language": "en", "slice": "oblique"},
    {"text": f"what does {CANARY} mean?", "label": "benign", "language": "en", "slice": "about"},
    {"text": "jom minum teh", "label": "benign", "language": "ms", "slice": "plain"},
    {"text": "no label at all"},
    {"text": "an unknown one", "label": "ham"},
)


def penjaga(
    folder: Path, cache: Path, *arguments: str, code: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder with the lines, after some code of the test's own."""
    for name, content in {"new.toml": NEW, "old.toml": OLD}.items():
        (folder / name).write_text(content, encoding="utf-8")
    labelled = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in LINES)
    (folder / "labelled.jsonl").write_text(labelled, encoding="utf-8")
    script = f"import sys\n{code}\nfrom pipeline.cli import main\nmain()"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PENJAGA_")}
    return subprocess.run(
        [sys.executable, "-c", script, "evaluate", *arguments],
        env=environment | {"PENJAGA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_a_labelled_file_is_measured(tmp_path: Path, cache: Path) -> None:
    """Markdown on standard output, the rest in files; what was rejected is said and decides the status."""
    done = penjaga(
        tmp_path,
        cache,
        *("labelled.jsonl", "--config", "new.toml", "--map", "seen=canary.seen", "--errors", "1"),
        *("--json", "out.json", "--plot", "out.png", "--compare", "old.toml"),
    )
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    figures = found["report"]["labels"]["canary.seen"]["figures"]

    assert 1 == done.returncode
    assert (3, 2, 3, 2, 1) == tuple(
        figures[name] for name in ("support", "benign", "alerts", "hits", "false_alerts")
    )
    assert ["labelled.jsonl"] == found["files"]
    assert ["missing_label", "unknown_label"] == [one["reason"] for one in found["rejected"]]
    compared = found["comparison"]["labels"]["canary.seen"]
    assert (2, 1, [1, 2, 4]) == (
        compared["better"],
        compared["worse"],
        [change["number"] for change in compared["changes"]],
    )
    assert (0.0, 2 / 3) == (compared["before"]["recall"], compared["after"]["recall"])
    assert "| canary.seen | en " in done.stdout
    assert "| canary.seen | slice: oblique " in done.stdout
    assert "- `labelled.jsonl:3` `line-3`, canary.seen, score 0.00: nothing found" in done.stdout
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert (
        "penjaga: 2 rejected, the first at labelled.jsonl:6: missing_label: `label`: "
        "expected a value, got none\n"
    ) == done.stderr


def test_a_requirement_decides_the_status(tmp_path: Path, cache: Path) -> None:
    """0 when it is met, 1 with the figure when it is not."""
    sound = '{"text": "hello", "label": "benign"}\n' * 3
    (tmp_path / "benign.jsonl").write_text(sound, encoding="utf-8")
    arguments = ("benign.jsonl", "--config", "new.toml", "--require")
    met = penjaga(tmp_path, cache, *arguments, "canary.seen.false_alerts_per_1000<=1")
    unmet = penjaga(tmp_path, cache, *arguments, "canary.seen.support>=1")

    assert [(0, ""), (1, "penjaga: not met: canary.seen.support>=1: measured 0.0000\n")] == [
        (done.returncode, done.stderr) for done in (met, unmet)
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("absent.jsonl",), "absent.jsonl"),
        ((), "Missing argument"),
        (("labelled.jsonl", "--map", "seen=nothing"), "`nothing` is neither `benign` nor"),
        (("labelled.jsonl", "--require", "canary.seen>1"), "no figure `seen`"),
        (("labelled.jsonl", "--compare", "absent.toml"), "absent.toml"),
        (("labelled.jsonl", "--config", "new.toml", "--json", "no/where"), "cannot write no/where"),
    ],
)
def test_wrong_usage_has_status_two(
    tmp_path: Path, cache: Path, arguments: tuple[str, ...], problem: str
) -> None:
    """And says what is wrong, without a traceback."""
    done = penjaga(tmp_path, cache, *arguments)

    assert 2 == done.returncode
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("module", "arguments", "status"),
    [
        ("sklearn", (), 2),
        ("matplotlib", ("--plot", "a.png"), 2),
        ("matplotlib", (), 1),  # what is not drawn needs nothing to draw with
    ],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, cache: Path, module: str, arguments: tuple[str, ...], status: int
) -> None:
    """In one line, with what brings it."""
    code = f"sys.modules['{module}'] = None"
    run = ("labelled.jsonl", "--config", "new.toml", *arguments)
    done = penjaga(tmp_path, cache, *run, code=code)
    missing = f"penjaga: missing {module}: pip install 'penjaga[evaluate]'\n"

    assert status == done.returncode
    assert (missing == done.stderr) == (status == 2)


def test_several_files_are_one_measurement(tmp_path: Path, cache: Path) -> None:
    """Each line keeps the name of its file; an empty file is no fault."""
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "bad.jsonl").write_text("broken\n", encoding="utf-8")
    done = penjaga(tmp_path, cache, "empty.jsonl", "bad.jsonl", "--config", "new.toml")

    assert 1 == done.returncode
    assert "`bad.jsonl`:" in done.stdout
    assert "0 rows, 0 labelled and 0 benign" in done.stdout
    assert "bad.jsonl:1: not_json" in done.stderr


def test_the_whole_line_is_measured(built: Line) -> None:
    """Every installed detector, with a requirement for a label that nothing is found for."""
    content = (
        b'{"text": "slot gacor maxwin free kredit RM10 daftar sekarang", "label": "gambling"}\n'
        b'{"text": "hello", "label": "benign"}\n'
    )
    asked = Asked((Requirement.of("csea.grooming.false_alerts<=0"),))
    items = read(io.BytesIO(content), "f", Limits(), Reading())
    found = evaluation(items, built, Limits(), asked)

    assert (1, 1) == (
        found.report.labels["gambling.*"].figures.support,
        found.report.labels["gambling.*"].figures.hits,
    )
    assert () == found.unmet
