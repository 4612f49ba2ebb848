"""The command: help, expected failures in one line, and what it prints."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipeline import cli, registry
from pipeline.settings import Settings
from tests.pipeline.events import CANARY

ROOT = Path(__file__).parents[2]


def commands(
    group: click.Command = cli.cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the path of every command."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


def command_at(path: tuple[str, ...]) -> click.Command:
    """Return the command at a path."""
    found: click.Command = cli.cli
    for name in path:
        assert isinstance(found, click.Group)
        found = found.commands[name]
    return found


@pytest.fixture(autouse=True)
def _surroundings(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, without settings from outside, with compiled patterns at hand."""
    monkeypatch.chdir(tmp_path)
    for variable in [v for v in os.environ if v.startswith(("PENJAGA_", "KAFKA_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PENJAGA_CACHE_DIR", str(cache))


Run = tuple[int, str, str]


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> Run:
    """Run the command in this process; return its status, output and errors."""
    monkeypatch.setattr(sys, "argv", ["penjaga", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    captured = capsys.readouterr()
    code = left.value.code
    return (code if isinstance(code, int) else 0), captured.out, captured.err


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_help_of_every_command_names_its_options(path: tuple[str, ...]) -> None:
    """It exits 0, says what the command does and lists every option and command."""
    done = CliRunner().invoke(cli.cli, [*path, "--help"])
    command = command_at(path)
    names = [o for p in command.params if isinstance(p, click.Option) for o in p.opts]

    assert 0 == done.exit_code
    assert done.output.startswith("Usage: ")
    assert command.help
    assert command.help.split("\n")[0][:40] in done.output
    assert not [
        name for name in (*names, *getattr(command, "commands", ())) if name not in done.output
    ]


def test_every_option_has_a_help_text() -> None:
    """Except those whose name and choices say it all."""
    bare = [
        (*path, option.name)
        for path in commands()
        for option in command_at(path).params
        if isinstance(option, click.Option) and not option.help
    ]

    assert [("explain", "audience")] == bare


def test_help_is_quick() -> None:
    """It loads neither Faust nor the detectors, nor what only an evaluation needs."""
    script = (
        "import sys; sys.argv = ['penjaga', '--help']\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('faust', 'detectors.gambling', 'confluent_kafka', 'sklearn', 'scipy', 'matplotlib')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, text=True
    )

    assert "[]" == done.stdout.splitlines()[-1]


def test_the_version_is_that_of_the_package() -> None:
    """`--version` names it."""
    done = CliRunner().invoke(cli.cli, ["--version"])

    assert (0, True) == (done.exit_code, "version 0.1.0" in done.output)


WRONG = {
    "key": ('[kafka]\ngruop = "x"\n', "2: unknown key `gruop`"),
    "type": ('[web]\nport = "x"\n', "2: expected `int`"),
    "TOML": ("[kafka\n", "1: not TOML"),
    "label": ('[policy."x.y"]\nreview = 0.5\n', "1: unknown label `x.y`"),
    "mapping": ('[sources.t.fields]\nidd = "x"\n', "2: `idd`: no such field"),
    "detector": ('[detectors]\nonly = ["canray"]\n', "detector `canray` is not installed"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize(
    "arguments",
    [("config", "check"), ("scan", os.devnull), ("explain", "text"), ("detectors", "list")],
    ids=" ".join,
)
def test_a_wrong_configuration_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    arguments: tuple[str, ...],
) -> None:
    """On standard error, with the place; no traceback; status 2; nothing on standard output."""
    content, problem = WRONG[name]
    file = tmp_path / "wrong.toml"
    file.write_text(content, encoding="utf-8")
    status, out, err = run(capsys, monkeypatch, *arguments, "--config", str(file))

    assert (2, "") == (status, out)
    assert 1 == len(err.splitlines())
    assert err.startswith("penjaga: ")
    assert problem in err
    if name != "detector":
        assert str(file) in err


@pytest.mark.parametrize(
    "command", ["worker", "deadletters list", "deadletters replay", "deadletters show 0/0"]
)
def test_commands_that_need_a_broker_check_the_configuration_first(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
) -> None:
    """A wrong file is named before anything is connected to."""
    file = tmp_path / "wrong.toml"
    file.write_text("[kafak]\n", encoding="utf-8")
    monkeypatch.setattr("pipeline.logs.configure", lambda *_, **__: None)
    status, out, err = run(capsys, monkeypatch, *command.split(), "--config", str(file))

    assert (2, "") == (status, out)
    assert f"penjaga: {file}:1: unknown key `kafak`" in err
    assert 1 == len(err.splitlines())


def test_a_wrong_variable_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named, with what there is."""
    monkeypatch.setenv("PENJAGA_WEB_PROT", "80")
    status, _, err = run(capsys, monkeypatch, "config", "check")

    assert 2 == status
    assert err.startswith("penjaga: PENJAGA_WEB_PROT: no such setting")
    assert 1 == len(err.splitlines())


def test_the_configuration_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The option wins over the variable, that over the file in the folder, that over nothing."""
    named, option = tmp_path / "named.toml", tmp_path / "option.toml"

    assert cli.settings_path(None) is None
    (tmp_path / "penjaga.toml").write_text("", encoding="utf-8")
    assert Path("penjaga.toml") == cli.settings_path(None)
    monkeypatch.setenv("PENJAGA_CONFIG", str(named))
    assert named == cli.settings_path(None)
    assert option == cli.settings_path(option)


def test_a_named_configuration_that_is_absent_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker must not fall back to defaults because of a typing error."""
    monkeypatch.setenv("PENJAGA_CONFIG", str(tmp_path / "absent.toml"))
    status, _, err = run(capsys, monkeypatch, "config", "check")

    assert 2 == status
    assert f"penjaga: {tmp_path / 'absent.toml'}:0: cannot be read" in err


def test_config_check_says_what_a_worker_would_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """File, digest, brokers, sources and detectors."""
    file = tmp_path / "my.toml"
    file.write_text(
        '[kafka]\ngroup = "mine"\n[sources.a]\n[sources.b.fields]\nid = "x"\n'
        'platform = { constant = "b" }\noccurred_at = "t"\ntext = "m"\n"actor.id" = "u"\n'
        '"audience.kind" = { constant = "dm" }\n[detectors]\nonly = ["canary"]\n',
        encoding="utf-8",
    )
    status, out, err = run(capsys, monkeypatch, "config", "check", "--config", str(file))

    assert (0, "") == (status, err)
    lines = out.splitlines()
    assert f"{file}: sound" == lines[0]
    assert ["configuration", "brokers", "source", "source", "detectors"] == [
        line.split()[0] for line in lines[1:]
    ]
    assert 16 == len(lines[1].split()[1])
    assert "localhost:9092 (group mine)" in lines[2]
    assert "a: canonical events" in lines[3]
    assert "b: 6 fields mapped" in lines[4]
    assert "detectors      canary" == lines[5].strip()


def test_config_check_without_a_file_checks_the_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All detectors that need no lists, and the same digest each time."""
    _, first, _ = run(capsys, monkeypatch, "config", "check")
    _, second, _ = run(capsys, monkeypatch, "config", "check")

    assert first.startswith("built-in defaults: sound\n")
    assert first == second
    assert ", ".join(n for n in registry.installed() if n != "listed_links") in first


def test_what_changes_a_verdict_changes_the_digest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where records come from and go to does not."""
    (Path.cwd() / "penjaga.toml").write_text('[detectors]\nonly = ["canary"]\n', encoding="utf-8")

    def digest() -> str:
        _, out, _ = run(capsys, monkeypatch, "config", "check")
        return out.splitlines()[1].split()[1]

    plain = digest()
    monkeypatch.setenv("PENJAGA_KAFKA_GROUP", "other")
    assert plain == digest()
    monkeypatch.setenv("PENJAGA_ESCALATIONS_EXCERPT_CHARACTERS", "10")
    assert plain != digest()


def test_detectors_list_says_what_is_installed_and_in_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One JSON object a line where nobody looks; those taken out are listed as not in use."""
    (Path.cwd() / "penjaga.toml").write_text(
        '[detectors]\nwithout = ["canary"]\n', encoding="utf-8"
    )
    status, out, err = run(capsys, monkeypatch, "detectors", "list")
    rows = {row["name"]: row for row in map(json.loads, out.splitlines())}

    assert (0, "") == (status, err)
    assert list(registry.installed()) == list(rows)
    assert {"name", "in_use", "version", "labels", "patterns", "package"} == set(rows["canary"])
    assert (False, None, []) == (
        rows["canary"]["in_use"],
        rows["canary"]["version"],
        rows["canary"]["labels"],
    )
    gambling = rows["gambling_promotion"]
    assert (True, ["gambling.promotion"], "penjaga") == (
        gambling["in_use"],
        gambling["labels"],
        gambling["package"],
    )
    assert gambling["patterns"] > 50


def test_explain_reads_an_argument_or_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audience decides which rules apply; `-` takes the text from a pipe."""
    (Path.cwd() / "penjaga.toml").write_text(
        '[detectors]\nonly = ["canary"]\n[policy."canary.seen"]\nreview = 0.5\naudiences = ["public"]\n',
        encoding="utf-8",
    )
    status, public, _ = run(capsys, monkeypatch, "explain", CANARY)
    _, private, _ = run(capsys, monkeypatch, "explain", CANARY, "--audience", "dm")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{CANARY}\n".encode())))
    _, piped, _ = run(capsys, monkeypatch, "explain", "-")

    assert 0 == status
    assert "review  1.00  canary.seen" in public
    assert "none  1.00  canary.seen" in private
    assert public == piped


@pytest.mark.parametrize("text", ["\udcff\udcfe", "x" * 70_000, "half \ud83d"])
def test_explain_refuses_what_is_no_text_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Bytes that are not UTF-8, and more than a message may hold, end with status 2."""
    status, out, err = run(capsys, monkeypatch, "explain", text)

    assert (2, "") == (status, out)
    assert "Error: " in err
    assert "Traceback" not in err
    assert "xxxx" not in err


def test_wrong_usage_has_status_two(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown command, option or file."""
    for arguments in (("scna",), ("scan", "--colour"), ("scan", "absent"), ("explain",)):
        status, out, err = run(capsys, monkeypatch, *arguments)

        assert (2, "") == (status, out)
        assert "Error: " in err


def test_the_module_is_the_command() -> None:
    """`python -m pipeline` is `penjaga`."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "--version"], cwd=ROOT, capture_output=True, check=True
    )

    assert b"version" in done.stdout


def test_every_section_is_documented_in_the_shipped_file() -> None:
    """Whoever reads `deploy/penjaga.toml` meets every table there is."""
    text = (ROOT / "deploy" / "penjaga.toml").read_text(encoding="utf-8")

    assert all(f"[{name}" in text for name in Settings.__struct_fields__)
