"""The `penjaga` command."""

import asyncio
import importlib.util
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from pipeline import dead_letters, registry, status
from pipeline import scan as scanning
from pipeline.automaton import PatternError
from pipeline.delivery import BrokerUnreachableError, DeliveryFailedError
from pipeline.doctor_cli import doctor
from pipeline.explanation import STYLES, explanation, highlighted
from pipeline.feed_cli import feeds
from pipeline.feed_index import IndexFileError
from pipeline.feed_lists import FeedWatch
from pipeline.feed_store import StoreError
from pipeline.line import Line, line
from pipeline.memory import MemoryVersionError
from pipeline.options import cache_folder, config_option, feeds_folder, print_rows, settings_path
from pipeline.quotations_cli import quotations
from pipeline.settings import Settings, SettingsError, load
from pipeline.subjects_cli import subjects
from pipeline.topics_cli import topics
from schemas import Event, Rejected
from schemas.document import DocumentError
from schemas.record import Limits
from schemas.source import SourceMapping

if TYPE_CHECKING:
    from pipeline.labelled import Reading
    from pipeline.requirement import Requirement

Item = TypeVar("Item")


def main() -> None:
    """Run the command; expected failures are one line on standard error and an exit status."""
    try:
        cli(standalone_mode=True)
    except (SettingsError, registry.RegistryError, PatternError, DocumentError) as error:
        _fail(status.CONFIGURATION, error)
    except (StoreError, IndexFileError) as error:
        _fail(status.CONFIGURATION, error)
    except MemoryVersionError as error:
        _fail(status.CONFIGURATION, error)
    except BrokerUnreachableError as error:
        _fail(status.UNREACHABLE, error)
    except DeliveryFailedError as error:
        _fail(status.UNDELIVERED, error)


def _fail(code: int, error: Exception) -> None:
    click.echo(f"penjaga: {error}", err=True)
    sys.exit(code)


class _Commands(click.Group):
    """A group that takes it for the end, not for a fault, when nobody reads its output any more."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            if ctx.invoked_subcommand == "worker":  # it writes to sockets, not to a reader
                raise
            # Whoever read the output has seen enough; Python must not complain while it closes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="penjaga")
def cli() -> None:
    """Find grooming, scams, gambling promotion and bullying in a stream of messages.

    \b
    Start here:
      penjaga demo                          see it work, no Kafka needed
      penjaga explain "text"                why a text is flagged, or is not
      penjaga scan messages.jsonl           the same on a file
      penjaga config check --config my.toml then
      penjaga worker --config my.toml       on your own topics

    Exit status: 0 done, 1 some input was rejected (or the demo saw a fault, or an evaluation did not
    reach what was required), 2 wrong usage or configuration, 69 no broker or topic, 70 a crash, 75 a
    write could not be confirmed.
    """


cli.add_command(doctor)
cli.add_command(feeds)
cli.add_command(quotations)
cli.add_command(subjects)
cli.add_command(topics)


def _load(config: Path | None) -> tuple[Settings, Line]:
    settings = load(settings_path(config), os.environ)
    watch = _watch(settings)
    return settings, line(settings, cache_folder(), watch.lists if watch else None)


def _watch(settings: Settings) -> FeedWatch | None:
    """Open the lists of bad links, where any are configured."""
    return FeedWatch(settings.feeds, feeds_folder()) if settings.feeds else None


@cli.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log what Faust and the Kafka client do, too.")
@click.option(
    "--processes",
    type=click.IntRange(min=1, max=256),
    default=1,
    help="Run so many on this machine, each a member of the group; one for each core is full use of it.",
)
@click.option("--with-parent", is_flag=True, help="Stop when standard input closes.")
def worker(config: Path | None, verbose: bool, processes: int, with_parent: bool) -> None:
    """Read the source topics and write escalations, until told to stop.

    \b
    Where to:    kafka.bootstrap_servers, or KAFKA_BOOTSTRAP_SERVERS
    Metrics:     http://127.0.0.1:6066/metrics   (web.host, web.port)
    Health:      /health/live  /health/ready
    To stop:     SIGTERM or Ctrl-C; kill -9 loses nothing either

    Start as many as the sources have partitions; they share the work. Several --processes share the address
    too; one that crashes is replaced, and what that would not mend stops them all with its status. Any
    setting can be overridden by a variable: PENJAGA_KAFKA_GROUP, PENJAGA_WEB_PORT, ...
    """
    from pipeline import logs
    from pipeline.processes import share_metrics

    if processes > 1:
        share_metrics()
    from pipeline.run import run

    logs.configure(logging.INFO, verbose=verbose)
    settings = load(settings_path(config), os.environ)
    watch = _watch(settings)
    built = line(settings, cache_folder(), watch.lists if watch else None)
    run(settings, built, processes=processes, with_parent=with_parent, watch=watch)


@cli.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "table"]),
    help="jsonl writes one line per input line; table is for eyes. Default: by where the output goes.",
)
@click.option(
    "--flagged", is_flag=True, help="Only what calls for an action, and what was rejected."
)
@click.option("--text-column", help="Read CSV with a header and take the text from this column.")
@click.option("--source", help="Read the file as records of this source, through its mapping.")
@click.option(
    "--subjects",
    "with_subjects",
    is_flag=True,
    help="Remember conversations, senders, targets, spaces and links too; holds the file in memory.",
)
@config_option
def scan(
    file: BinaryIO,
    format_: str | None,
    flagged: bool,
    text_column: str | None,
    source: str | None,
    with_subjects: bool,
    config: Path | None,
) -> None:
    """Run the line over a file, offline: JSON lines, or CSV with --text-column.

    \b
    {"text": "..."} is enough for a line; a missing id is filled from the line number.
    Output, one line per input line, in order:
      {"event_id", "action", "scores": {label: 0..1}, "findings": [...]}
      {"rejected": reason, "line": n}
    With --subjects, after the event that made a subject cross a level, events taken in order of their time:
      {"subject", "behaviour", "level", "action", "scores": {label: 0..1}, "evidence": [event ids]}

    Exit status 1 if any line was rejected; standard error then says how many, and what was expected of
    the first.
    """
    settings, built = _load(config)
    if source is not None and source not in settings.sources:
        known = ", ".join(settings.sources)
        raise click.BadParameter(f"no source `{source}`; there are {known}", param_hint="--source")
    if source is not None and text_column is not None:
        raise click.UsageError(
            "--source reads records of a topic, --text-column reads CSV: give one"
        )
    events = SourceMapping.compile({}, scanning.room_to_fill(settings.limits))
    mapping = settings.mapping(source) if source else events
    inputs = (
        scanning.csv_rows(file, text_column, settings.limits)
        if text_column
        else scanning.json_lines(file, settings.limits, fill=source is None)
    )
    style = format_ or ("table" if sys.stdout.isatty() else "jsonl")
    first = ""
    count = 0
    try:
        with _progress(file) as advance:
            write = _table_writer() if style == "table" else _jsonl_writer()
            scanned: Iterable[scanning.Scanned] = scanning.scan(inputs, built, mapping)
            told: dict[int, list[dict[str, Any]]] = {}
            if with_subjects:
                whole = list(scanned)
                told = scanning.subjects(whole, built.watch)
                scanned = whole
            for item in scanned:
                if isinstance(item.event, Rejected):
                    count += 1
                    first = first or _refusal(item.number, item.event)
                if not flagged or item.action != "none" or isinstance(item.event, Rejected):
                    write(item)
                for verdict in told.get(item.number, ()):
                    write(verdict)
                advance()
    except scanning.MissingColumnError as error:
        raise click.UsageError(str(error)) from None
    sys.stdout.flush()
    if count:
        click.echo(f"penjaga: {count} rejected, the first on {first}", err=True)
        sys.exit(status.REJECTED)


def _refusal(number: int, rejected: Rejected) -> str:
    return f"line {number}: {rejected.reason.value}: {rejected.detail}"


_Line = scanning.Scanned | dict[str, Any]
"""What became of a line, or of a subject after it."""


def _jsonl_writer() -> Callable[[_Line], None]:
    write = sys.stdout.buffer.write

    def row(item: _Line) -> None:
        output = item if isinstance(item, dict) else item.output
        write(orjson.dumps(output, option=orjson.OPT_APPEND_NEWLINE))

    return row


def _table_writer() -> Callable[[_Line], None]:
    console = Console(soft_wrap=True)

    def row(item: _Line) -> None:
        if isinstance(item, dict):
            ((label, score),) = item["scores"].items()
            console.print(
                Text.assemble(
                    (f"{item['action']:<8} ", STYLES[item["action"]]),
                    (f"{label} {score:.2f}  ", "dim"),
                    f"{item['behaviour']} in {item['subject']}, by {len(item['evidence'])} events",
                )
            )
            return
        if isinstance(item.event, Rejected):
            console.print(Text(_refusal(item.number, item.event), "magenta"))
            return
        marked = highlighted(item.event.text[:400], item.findings)
        labels = " ".join(f"{k} {v:.2f}" for k, v in item.output["scores"].items())
        console.print(
            Text.assemble(
                (f"{item.action:<8} ", STYLES[item.action]), (f"{labels}  ", "dim"), marked
            )
        )

    return row


@contextmanager
def _progress(file: BinaryIO) -> Iterator[Callable[[], None]]:
    """Show progress on standard error while the output goes elsewhere; bytes where the size is known."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield lambda: None
        return
    size = os.fstat(file.fileno()).st_size if file.seekable() else None
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[lines]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("scanning", total=size, lines="")
        count = 0

        def advance() -> None:
            nonlocal count
            count += 1
            if count % 500 == 0:
                done = file.tell() if size else None
                progress.update(task, completed=done, lines=f"{count:,} lines")

        yield advance


@cli.command()
@click.argument("text")
@click.option("--audience", type=click.Choice(["dm", "group", "public"]), default="public")
@config_option
def explain(text: str, audience: str, config: Path | None) -> None:
    """Show why TEXT is flagged, or why not: folding, matches, arithmetic, decision.

    Use - to read the text from standard input.
    """
    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").rstrip("\n")
    if any("\ud800" <= c <= "\udfff" for c in text):  # what Python makes of bytes that are no text
        raise click.UsageError("TEXT is not UTF-8")
    settings, built = _load(config)
    record = scanning.filled(
        orjson.dumps({"text": text, "audience": {"kind": audience}}), 1, settings.limits
    )
    event = SourceMapping.compile({}, settings.limits).decode(record)
    if not isinstance(event, Event):
        raise click.UsageError(f"rejected: {event.reason.value}: {event.detail}")
    Console(highlight=False).print(explanation(event, built))


@cli.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE...",
)
@click.option(
    "--conversations",
    is_flag=True,
    help="A line is a whole conversation: how many are found, and how soon.",
)
@click.option(
    "--map",
    "words",
    multiple=True,
    metavar="WORD=LABEL",
    help="What a word under `label` stands for, such as smishing=fraud or ham=benign. Repeatable.",
)
@click.option(
    "--slice-by",
    multiple=True,
    metavar="NAME",
    help="Tell figures by this field of a line or of its attributes. Repeatable. Default: slice.",
)
@click.option(
    "--errors",
    type=click.IntRange(min=0),
    default=0,
    help="Show so many wrong alerts and so many misses of each label, with their texts.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write everything to this file, too.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw precision over recall, and calibration, into this PNG file.",
)
@click.option(
    "--compare",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure under this configuration, too, and tell what differs from it.",
)
@click.option(
    "--require",
    multiple=True,
    metavar="LABEL.FIGURE>=N",
    help="Exit 1 unless so; also <=, > and <. Figures are named as in the JSON. Repeatable.",
)
@config_option
def evaluate(
    files: tuple[str, ...],
    conversations: bool,
    words: tuple[str, ...],
    slice_by: tuple[str, ...],
    errors: int,
    json_file: Path | None,
    plot: Path | None,
    compare: Path | None,
    require: tuple[str, ...],
    config: Path | None,
) -> None:
    """Measure the line on labelled JSON lines, and write a report in Markdown.

    \b
    A line is an event, or {"text": "..."}, with
      label      a label such as gambling.promotion, a family such as fraud, or benign
      language   optional; attributes.lang is read, too
      slice      optional: what to tell figures by
    With --conversations, a line is {"id", "label", "language", "turns": [{"actor", "text", "minutes"}]}
    and optional "bands", such as {"b": "minor"}. Only --map, --json and --config go with it.
    Files whose names end in .gz are unpacked; - is standard input.

    \b
      penjaga evaluate labelled.jsonl --errors 20
      penjaga evaluate sms.jsonl.gz --map smishing=fraud --map ham=benign --plot sms.png
      penjaga evaluate labelled.jsonl --config new.toml --compare old.toml
      penjaga evaluate labelled.jsonl --require 'gambling.promotion.recall_at_1pct>=0.85'
      penjaga evaluate talks.jsonl --conversations --map grooming=csea.grooming

    Lines that cannot be used are listed at the end of the report. Exit status 1 if there are any, or if
    something required was not met; standard error then says what.
    """
    _need_the_extra("sklearn", "scipy", *(["matplotlib"] if plot else []))
    from pipeline.evaluation_report import json, markdown
    from pipeline.evaluation_run import Asked, evaluation
    from pipeline.labelled import read

    reading = _reading(words, slice_by)
    if conversations:
        if slice_by or errors or plot or compare or require:
            raise click.UsageError("only --map, --json and --config go with --conversations")
        _evaluate_conversations(files, reading, json_file, config)
        return
    requirements = _requirements(require)
    settings, built = _load(config)
    before = _load(compare)[1] if compare else None
    lines = _labelled(files, settings, reading, read)
    asked = Asked(requirements, before, errors)
    outcome = evaluation(lines, built, settings.limits, asked)
    click.echo(markdown(outcome).encode(), nl=False)
    try:
        if json_file:
            json_file.write_bytes(json(outcome))
        if plot:
            from pipeline.evaluation_plot import draw

            if not draw(outcome.report, plot):
                click.echo(f"penjaga: no row of any label, so nothing drawn to {plot}", err=True)
    except OSError as error:
        raise click.UsageError(f"cannot write {error.filename}: {error.strerror}") from None
    for problem in outcome.problems():
        click.echo(f"penjaga: {problem}", err=True)
    if outcome.rejected:
        sys.exit(status.REJECTED)
    if outcome.unmet:
        sys.exit(status.UNMET)


def _reading(words: tuple[str, ...], slice_by: tuple[str, ...]) -> "Reading":
    from pipeline.labelled import Reading, WordError

    try:
        return Reading.of(words, slice_by)
    except WordError as error:
        raise click.BadParameter(str(error), param_hint="--map") from None


def _requirements(texts: tuple[str, ...]) -> tuple["Requirement", ...]:
    from pipeline.requirement import Requirement, RequirementError

    try:
        return tuple(Requirement.of(text) for text in texts)
    except RequirementError as error:
        raise click.BadParameter(str(error), param_hint="--require") from None


def _evaluate_conversations(
    files: tuple[str, ...], reading: "Reading", json_file: Path | None, config: Path | None
) -> None:
    from pipeline import conversation_figures as found
    from pipeline.conversations import flagged, read

    settings, built = _load(config)
    talks = _labelled(files, settings, reading, read)
    report = found.measure(
        flagged(talks, built, settings.limits),
        built.configuration,
        [_shown(name) for name in files],
    )
    click.echo(found.markdown(report).encode(), nl=False)
    try:
        if json_file:
            json_file.write_bytes(found.json(report))
    except OSError as error:
        raise click.UsageError(f"cannot write {error.filename}: {error.strerror}") from None
    if report.rejected:
        click.echo(f"penjaga: {len(report.rejected)} lines cannot be used", err=True)
        sys.exit(status.REJECTED)


def _need_the_extra(*modules: str) -> None:
    """End if a module is missing that only the extra `evaluate` brings."""
    if missing := [name for name in modules if importlib.util.find_spec(name) is None]:
        problem = f"missing {', '.join(missing)}: pip install 'penjaga[evaluate]'"
        _fail(status.CONFIGURATION, ModuleNotFoundError(problem))


def _labelled(
    files: Iterable[str],
    settings: Settings,
    reading: "Reading",
    read: Callable[[BinaryIO, str, Limits, "Reading"], Iterator[Item]],
) -> Iterator[Item]:
    for name in files:
        with click.open_file(name, "rb") as file:
            stream = cast("BinaryIO", file)
            with _progress(stream) as advance:
                for item in read(stream, _shown(name), settings.limits, reading):
                    advance()
                    yield item


def _shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


@cli.group()
def deadletters() -> None:
    """Look at rejected records, and screen them again."""


reason_option = click.option("--reason", help="Only this reason, such as missing_field.")


@deadletters.command("list")
@config_option
@reason_option
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.")
def list_letters(config: Path | None, reason: str | None, limit: int | None) -> None:
    """List rejected records: where, when, why. A table for eyes, JSON lines otherwise."""
    settings = load(settings_path(config), os.environ)
    table = Table("dead letter", "at", "reason", "detail", "source", "bytes", box=None)
    shown = 0

    async def collect() -> None:
        nonlocal shown
        async for letter in _letters(settings, reason):
            record = letter.record
            row = {
                "dead_letter": letter.place,
                "at": letter.at.isoformat(timespec="seconds"),
                "reason": letter.reason,
                "detail": letter.detail,
                "source": f"{record.topic}/{record.partition}/{record.offset}",
                "bytes": len(record.value or b""),
            }
            shown += 1
            if sys.stdout.isatty():
                table.add_row(*(Text(_safe(str(value))) for value in row.values()))
            else:
                sys.stdout.buffer.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            if shown == limit:
                return

    asyncio.run(collect())
    if sys.stdout.isatty():
        Console().print(table if shown else "no dead letters")


@deadletters.command()
@click.argument("place")
@config_option
def show(place: str, config: Path | None) -> None:
    """Show the dead letter at PLACE (partition/offset, as `list` prints it), with its bytes.

    The bytes are the record as the platform wrote it, which may be personal.
    """
    settings = load(settings_path(config), os.environ)

    async def find() -> dead_letters.DeadLetter | None:
        async for letter in _letters(settings, None):
            if letter.place == place:
                return letter
        return None

    letter = asyncio.run(find())
    if letter is None:
        raise click.UsageError(f"no dead letter at {place} on {settings.topics.dead_letters}")
    record = letter.record
    click.echo(_safe(f"reason  {letter.reason}: {letter.detail}"))
    click.echo(f"source  {record.topic}/{record.partition}/{record.offset}")
    click.echo(f"at      {letter.at.isoformat(timespec='seconds')}")
    for name, value in record.headers:
        click.echo(f"header  {_safe(name)}: {_printable(value or b'')}")
    if record.key is not None:
        click.echo(f"key     {_printable(record.key)}")
    if record.value is None:
        click.echo("value   null: a tombstone")
    else:
        click.echo(f"value   {len(record.value)} bytes")
        click.echo(_printable(record.value))


def _printable(content: bytes) -> str:
    """Show bytes without letting them steer the terminal."""
    return _safe(content.decode("utf-8", "backslashreplace"))


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@deadletters.command()
@config_option
@reason_option
@click.option("--dry-run", is_flag=True, help="Screen, count, write nothing.")
def replay(config: Path | None, reason: str | None, dry_run: bool) -> None:
    """Screen rejected records again with today's configuration.

    Those that can now be read are written as escalations, under the same ids as if they had been
    read at first, so that replaying twice changes nothing. The platform's topics are not written to.
    """
    from pipeline.replay import replay as screen_again

    settings, built = _load(config)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    ) as progress:
        task = progress.add_task("replaying", total=None)
        outcome = asyncio.run(
            screen_again(
                settings,
                built,
                reason,
                dry_run=dry_run,
                advance=lambda n: progress.advance(task, n),
            )
        )
    click.echo(orjson.dumps(outcome).decode())
    if outcome["rejected"]:
        sys.exit(status.REJECTED)


def _letters(settings: Settings, reason: str | None) -> AsyncIterator[dead_letters.DeadLetter]:
    return dead_letters.read(settings.kafka, settings.topics.dead_letters, reason)


@cli.group()
def detectors() -> None:
    """See which detectors are installed and in use."""


@detectors.command("list")
@config_option
def list_detectors(config: Path | None) -> None:
    """List detectors: name, version, labels, patterns, the package they came with."""
    settings = load(settings_path(config), os.environ)
    watch = _watch(settings)
    lists = watch.lists if watch else None
    in_use = {r.detector.name: r for r in registry.load(settings.detectors, lists, cache_folder())}
    rows = [
        {
            "name": name,
            "in_use": name in in_use,
            "version": in_use[name].detector.version if name in in_use else None,
            "labels": sorted(in_use[name].detector.labels) if name in in_use else [],
            "patterns": len(in_use[name].detector.patterns) if name in in_use else None,
            "package": entry.dist.name if entry.dist else None,
        }
        for name, entry in registry.installed().items()
    ]
    print_rows(rows)


@cli.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--thesaurus",
    "only_thesaurus",
    is_flag=True,
    help="Compile the thesaurus only; the weights stay.",
)
@click.option(
    "--recipe",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the recipes to fit from; by default the shipped ones.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    show_default="this folder",
    help="Where the model and its card are written.",
)
def train(
    folders: tuple[Path, ...],
    only_thesaurus: bool,  # an option
    recipe: Path | None,
    out: Path,
) -> None:
    """Fit the models from labelled JSON lines below FOLDERS, and write them with their cards.

    A recipe folder may hold wording.toml, cues.toml or both. With --thesaurus, compile what
    detectors/data/concepts.*.toml say into thesaurus.msgpack, and fit nothing.
    """
    if only_thesaurus:
        from detectors import thesaurus

        try:
            click.echo(thesaurus.write(out))
        except ValueError as error:
            _fail(status.CONFIGURATION, error)
        return
    if not folders:
        raise click.UsageError("name the folders of examples, or --thesaurus")
    _need_the_extra("sklearn", "scipy")
    from pipeline import cue_training, training

    source = recipe or training.SHIPPED
    recipes = {"wording.toml": training.write, "cues.toml": cue_training.write}
    present = [write for name, write in recipes.items() if (source / name).exists()]
    if not present:
        _fail(status.CONFIGURATION, FileNotFoundError(f"{source} has no {' or '.join(recipes)}"))
    try:
        for write in present:
            click.echo(write(source, folders, out))
    except FileNotFoundError as error:
        _fail(status.CONFIGURATION, error)


@cli.group("config")
def config_group() -> None:
    """Check a configuration before a worker gets it."""


@config_group.command()
@config_option
def check(config: Path | None) -> None:
    """Read the configuration, its mappings, detectors and lexicons; say what is wrong, with the line."""
    path = settings_path(config)
    settings, built = _load(config)
    click.echo(f"{path or 'built-in defaults'}: sound")
    click.echo(f"  configuration  {built.configuration}")
    click.echo(
        f"  brokers        {settings.kafka.bootstrap_servers} (group {settings.kafka.group})"
    )
    for topic, source in settings.sources.items():
        shape = f"{len(source.fields)} fields mapped" if source.fields else "canonical events"
        click.echo(f"  source         {topic}: {shape}")
    for name, feed in settings.feeds.items():
        click.echo(f"  feed           {name}: {feed.label or 'innocents'}")
    click.echo(f"  detectors      {', '.join(r.detector.name for r in built.registered)}")


@cli.command()
@click.option(
    "--seconds", type=click.FloatRange(min=1), help="Stop after so long. Default: at Ctrl-C."
)
@click.option(
    "--rate", type=click.FloatRange(min=1, max=5000), default=50.0, help="Messages a second."
)
@click.option("--seed", type=int, default=7, help="The same seed writes the same messages.")
def demo(seconds: float | None, rate: float, seed: int) -> None:
    """Watch it work: an embedded broker, a worker, simulated traffic, escalations as they come.

    Nothing to install or start, nothing left running. While it runs, kill the worker it names with kill -9:
    it is started again, and nothing is missing. With --seconds it ends by itself, with status 1 if no
    escalation was seen or one was lost.
    """
    from pipeline.demo import demonstrate

    settings = load(None, {})
    built = line(settings, cache_folder())
    sys.exit(demonstrate(settings, built, seconds=seconds, rate=rate, seed=seed))
