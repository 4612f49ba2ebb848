"""The `penjaga quotations` commands: what verdicts quote, opened by those who hold a key."""

import sys
from typing import BinaryIO, TextIO

import click

from pipeline import status
from pipeline.seal import Seal, SealError, opened


@click.group()
def quotations() -> None:
    """Open what verdicts quote, where it is sealed."""


@quotations.command("open")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--key-file",
    "keys",
    type=click.File("r"),
    multiple=True,
    required=True,
    help="A key that sealed some of them; more than one after it was changed.",
)
def open_them(file: BinaryIO, keys: tuple[TextIO, ...]) -> None:
    r"""Open the quotations of FILE, a line each: escalations, or records of the quotations topic.

    What is not sealed comes back as it is.

    \b
    Exit status:
      0   all lines are open
      1   some are not: which, and why, is on standard error
      2   a key file holds no key
    """
    try:
        seals = [Seal(key.read()) for key in keys]
    except SealError as error:
        click.echo(f"penjaga: --key-file: {error}", err=True)
        sys.exit(status.CONFIGURATION)
    shut = 0
    for number, line in enumerate(file, 1):
        try:
            sys.stdout.buffer.write(opened(line.rstrip(b"\r\n"), seals) + b"\n")
        except SealError as error:
            shut += 1
            click.echo(f"penjaga: {file.name}:{number}: {error}", err=True)
    sys.exit(status.UNMET if shut else 0)
