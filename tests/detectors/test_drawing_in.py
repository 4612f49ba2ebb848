"""Drawing in: what reads like grooming is remembered, never acted on alone; ordinary talk is let go."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pytest

from detectors.contract import Detector
from detectors.drawing_in import DRAWS_IN, FLOOR, LEAST, LEAST_TOLD, REACH, REPLIES, DrawingIn
from detectors.grooming import PROCESSES
from detectors.wording import BITS, shipped
from pipeline.chain import Chain
from pipeline.line import line
from pipeline.options import cache_folder
from pipeline.settings import load
from schemas import Finding
from tests.pipeline.events import event

ASKED = (
    ("are you by yourself at home now, when does your mum get back", "age_access", "risk_check"),
    ("sorang je ke kat rumah tu, mak balik pukul berapa", "age_access", "risk_check"),
    ("kirim fotomu dong, buat aku aja jangan di grup", "picture_request", "platform_move"),
    ("别让你妈知道我们聊天 删掉吧", "isolation_secrecy", "risk_check"),
    ("sanikizhamai un veetu keezha car la wait pannuren", "meeting", "picture_request"),
)
ORDINARY = (
    "the meeting moved to three, bring the slides",
    "harga ikan naik lagi minggu ni",
    "harga tiketnya berapa, masih ada dua?",
    "文件太大了 用网盘吧",
    "match paathiya, semma shot",
    "sudo apt update says the package is held back",
    "",
)


@pytest.fixture(scope="module")
def chain() -> Chain:
    """Return a chain with the detector alone."""
    return Chain([DrawingIn()])


def findings(chain: Chain, texts: Sequence[str]) -> list[Finding | None]:
    """Return the finding of each text."""
    found = chain.findings([event(text, f"e{n}") for n, text in enumerate(texts)])
    return [found[n][0] if n in found else None for n in range(len(texts))]


def told(finding: Finding) -> dict[str, float]:
    """Return how likely each cue is."""
    pairs = (one.split("=") for one in finding.attributes["processes"].split(","))
    return {name: float(likely) for name, likely in pairs}


@pytest.mark.parametrize(("text", "process", "other"), ASKED)
def test_what_no_term_holds_is_told_by_its_process(
    chain: Chain, text: str, process: str, other: str
) -> None:
    """In every language, and likelier than another process."""
    [finding] = findings(chain, [text])

    assert finding is not None
    assert told(finding)[process] > told(finding).get(other, 0.0)
    assert 0 <= finding.start < finding.end <= len(text)


def test_nothing_it_finds_is_acted_on_alone(chain: Chain) -> None:
    """Every score is above the floor of signals, and below what any action or fan-out needs."""
    scores = [f.score for f in findings(chain, [text for text, *_ in ASKED]) if f]
    settings = load(None, {})
    rule = settings.policy["csea.*"]

    assert len(scores) == len(ASKED)
    assert settings.signals.floor <= min(scores)
    assert max(scores) <= FLOOR + REACH < rule.shadow  # type: ignore[operator]
    assert FLOOR + REACH < settings.behaviours["grooming_fan_out"].least_score


def test_ordinary_talk_is_let_go(chain: Chain) -> None:
    """Work, shopping, sport and nothing at all."""
    assert [None] * len(ORDINARY) == findings(chain, ORDINARY)


def test_replies_are_cues_of_their_own(chain: Chain) -> None:
    """A stated age, a refusal, unease."""
    texts = (
        "i am only 12 years old",
        "sorry no, my mum says i cant",
        "this feels weird, why alone",
    )
    for reply, finding in zip(REPLIES, findings(chain, texts), strict=True):
        assert finding is not None
        assert reply == max(REPLIES, key=lambda name: told(finding).get(name, 0.0))


def test_a_text_reads_the_same_in_any_company(chain: Chain) -> None:
    """What else is in a batch changes nothing."""
    texts = [text for text, *_ in ASKED]
    together = findings(chain, [*ORDINARY, *texts])[len(ORDINARY) :]

    assert [findings(chain, [text])[0] for text in texts] == together


def test_disguise_does_not_hide_it(chain: Chain) -> None:
    """Styled letters read like plain ones."""
    plain, styled = findings(chain, ["send me your picture", "𝐬𝐞𝐧𝐝 𝐦𝐞 𝐲𝐨𝐮𝐫 𝐩𝐢𝐜𝐭𝐮𝐫𝐞"])

    assert plain is not None
    assert styled is not None
    assert plain.attributes == styled.attributes


def test_evidence_adds_up_and_quotes_nothing(chain: Chain) -> None:
    """The reason names processes; what is told is likely enough to be."""
    for finding in findings(chain, [text for text, *_ in ASKED]):
        assert finding is not None
        assert finding.score == sum(evidence.weight for evidence in finding.evidence)
        assert finding.reason.startswith("may be part of grooming: ")
        assert min(told(finding).values()) >= LEAST_TOLD
        assert told(finding).keys() <= {DRAWS_IN, *PROCESSES, *REPLIES}
        assert DRAWS_IN in told(finding)


def test_it_chooses_its_texts_itself() -> None:
    """It has no patterns and yet does not see everything, which would cost every message dearly."""
    detector = DrawingIn()
    seen: list[int] = []

    class Counted(DrawingIn):
        def scan(self, candidates):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            seen.append(len(candidates))
            return super().scan(candidates)

    Chain([Counted()]).findings([event(text) for text in (*ORDINARY, ASKED[0][0])])

    assert isinstance(detector, Detector)
    assert sum(seen) < len(ORDINARY)


def test_the_shipped_model_is_small_whole_and_has_a_card() -> None:
    """Under 5 MB; a table for every cue; the page was written with the weights and names every source."""
    folder = Path(str(resources.files("detectors") / "models"))
    model = shipped("cues")
    card = (folder / "cues.md").read_text(encoding="utf-8")
    paths = [
        one.split('"')[1].rsplit("/", 1)[-1]
        for one in (folder / "cues.toml").read_text(encoding="utf-8").splitlines()
        if one.startswith("path = ")
    ]

    assert (folder / "cues.msgpack").stat().st_size < 5_000_000
    assert {*LEAST, *PROCESSES, *REPLIES} == set(model.closely.labels)
    assert set(LEAST) == set(model.labels)
    assert len(model.labels) << BITS == len(model.tables)
    assert f"Weights {model.digest}," in card
    assert len(paths) > 5
    assert [] == [name for name in paths if name not in card]


def test_it_is_in_use_by_default() -> None:
    """The shipped line has it."""
    assert "drawing_in" in {d.name for d in line(load(None, {}), cache_folder()).chain.detectors}
