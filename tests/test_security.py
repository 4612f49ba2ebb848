"""What SECURITY.md promises is what a test holds: each one it names is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)


def test_every_test_it_names_exists() -> None:
    """By file and name; and there are many."""
    missing = []
    for file, name in NAMED:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        held = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        missing += [f"{file}::{name}"] if name not in held else []

    assert [] == missing
    assert len(set(NAMED)) == len(NAMED) > 20


def test_every_promise_names_a_test() -> None:
    """No row of the table of faults is without one."""
    table = PAGE.partition("| Fault |")[2].partition("\n\n")[0].splitlines()[2:]

    assert len(table) == len(NAMED)
    assert all("::test_" in row for row in table)


def test_alerts_and_settings_it_names_exist() -> None:
    """An alert is a rule, a setting a line of the shipped configuration."""
    rules = "".join(
        p.read_text(encoding="utf-8") for p in (ROOT / "deploy/prometheus").glob("*.y*ml")
    )
    settings = (ROOT / "deploy" / "penjaga.toml").read_text(encoding="utf-8")

    for alert in re.findall(r"`(Penjaga\w+)`", PAGE):
        assert f"alert: {alert}\n" in rules
    for name in ("excerpt_characters", "isolated"):
        assert f"{name}`" in PAGE
        assert f"\n{name} = " in settings
