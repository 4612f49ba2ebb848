"""An explanation: what a reviewer sees in a terminal is right, and cannot steer it."""

import io

import msgspec
import pytest
from rich.console import Console
from rich.text import Text

from pipeline.explanation import explanation, highlighted
from pipeline.line import Line
from schemas import Evidence, Finding
from tests.pipeline.events import CANARY, event

PREFIX = "The library opens at nine tomorrow. "
ADVERTS = {
    "styled": "𝐌𝐀𝐗𝐖𝐈𝐍 𝐟𝐫𝐞𝐞 𝐤𝐫𝐞𝐝𝐢𝐭 𝐝𝐚𝐟𝐭𝐚𝐫 sekarang",
    "double-struck": "𝕊𝕃𝕆𝕋 𝔾𝔸ℂ𝕆ℝ 𝔽𝕣𝕖𝕖 𝕜𝕣𝕖𝕕𝕚𝕥 𝔻𝕒𝕗𝕥𝕒𝕣 𝕤𝕖𝕜𝕒𝕣𝕒𝕟𝕘",
    "spaced": "s l o t  g a c o r  f r e e  k r e d i t  d a f t a r sekarang",
    "look-alikes": "ѕlоt gасоr frее krеdit dаftаr sеkаrаng",
    "full width": "ｓｌｏｔ ｇａｃｏｒ ｆｒｅｅ ｋｒｅｄｉｔ ｄａｆｔａｒ ｓｅｋａｒａｎｇ",
    "joiners": "\u200d".join("slot gacor free kredit daftar sekarang"),
}


def shown(text: str, line: Line, *, colour: bool = False) -> str:
    """Print an explanation as a terminal would get it."""
    out = io.StringIO()
    console = Console(file=out, width=200, highlight=False, force_terminal=colour)
    console.print(explanation(event(text), line))
    return out.getvalue()


def evidence_of(text: str, line: Line, label: str) -> set[int]:
    """Return every position that some evidence of a label covers."""
    findings = line.chain.findings([event(text)])[0]
    return {
        position
        for finding in findings
        if finding.label == label
        for evidence in finding.evidence
        for position in range(evidence.start, evidence.end)
    }


@pytest.mark.parametrize("disguise", ADVERTS)
def test_evidence_covers_the_advert_and_nothing_innocent(built: Line, disguise: str) -> None:
    """However the letters are disguised: whole words of the advert, none of the sentence before."""
    advert = ADVERTS[disguise]
    text = PREFIX + advert
    covered = evidence_of(text, built, "gambling.promotion")
    kept = {p for p in range(len(PREFIX), len(text)) if text[p].strip() and text[p] != "\u200d"}

    assert min(covered) == len(PREFIX)
    assert max(covered) == len(text) - 1
    assert kept == {p for p in covered if p in kept}
    assert not [p for p in covered if p < len(PREFIX)]


def test_innocent_text_is_explained_too(built: Line) -> None:
    """Nothing found is said, not left out."""
    out = shown(PREFIX, built)

    assert "none: no detector found anything" in out
    assert PREFIX.strip() in out


def test_every_step_is_shown(built: Line) -> None:
    """Folding, both views, matches with their place, the arithmetic, thresholds and action."""
    text = PREFIX + ADVERTS["spaced"]
    out = shown(text, built)
    findings = built.chain.findings([event(text)])[0]
    [finding] = [f for f in findings if f.label == "gambling.promotion"]

    assert "slot gacor free kredit daftar sekarang" in out
    assert "squeezed" in out
    assert f"{len(PREFIX)}-" in out
    assert finding.reason in out
    assert len(finding.evidence) >= 3
    for evidence in finding.evidence:
        assert f"{evidence.weight:+.2f}  {evidence.term}" in out
    assert f"{finding.score:5.2f}  score" in out
    assert "escalate  1.00  gambling.promotion  review from 0.60  escalate from 0.85" in out


CONTROLS = (
    *("\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\x00", "\x08" * 5, "\r", "\n"),
    *("\u202e", "\u2066", "\u200b"),
)


@pytest.mark.parametrize("control", CONTROLS)
def test_a_text_cannot_steer_the_terminal(built: Line, control: str) -> None:
    """Escapes, cursor codes, and what turns the direction of writing are shown as dots."""
    text = f"{control}{CANARY}{control} slot{control} gacor {control}free kredit daftar{control}"
    for out in (shown(text, built), highlighted(text, ()).plain):
        bad = [c for c in out if not c.isprintable() and c != "\n"]

        assert [] == bad
        assert "·" in out
    if control != "\n":
        assert "[31m" not in shown(text, built) or "·[31m" in shown(text, built)


def test_marks_stand_where_the_evidence_is() -> None:
    """Evidence is marked; without any place of its own, the finding's span is."""
    finding = Finding(
        detector="d", version="1", label="l", score=1.0, start=4, end=7, reason="r",
        evidence=(Evidence("a", 0.5, 4, 5), Evidence("metadata", 0.5)),
    )  # fmt: skip

    def marked(text: Text) -> list[tuple[int, int]]:
        return [(span.start, span.end) for span in text.spans]

    assert [(4, 5)] == marked(highlighted("abc defg", [finding]))
    bare = msgspec.structs.replace(finding, evidence=())
    assert [(4, 7)] == marked(highlighted("abc defg", [bare]))
    later = msgspec.structs.replace(bare, start=5)
    assert [(1, 3)] == marked(highlighted("efg", [later], offset=4))
    assert [] == marked(highlighted("xyz", [bare], offset=7))


def test_a_detectors_own_words_are_not_markup(built: Line) -> None:
    """Square brackets in a text, a term or an attribute are shown, not obeyed."""
    text = f"[bold]{CANARY}[/bold] [link=http://x.y]free kredit[/link] [/]"
    out = shown(text, built)

    assert text in out
    assert "[bold]" in highlighted("[bold]", ()).plain


def test_colours_are_the_only_codes(built: Line) -> None:
    """In a terminal that shows colours, the text's own codes still do nothing."""
    out = shown(f"\x1b[2J\x1b]52;c;AAAA\x07 {CANARY}", built, colour=True)

    assert "\x1b[2J" not in out
    assert "\x1b]" not in out
    assert "\x07" not in out
    assert "\x1b[" in out
