"""The seal: what is quoted comes back whole to who holds the key, and to nobody else."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import cli
from pipeline.seal import IN_CLEAR, Quoting, Seal, SealError, opened, quotation
from pipeline.settings import SettingsError, load
from schemas import Evidence, Finding, Verdict
from schemas.verdict import EventReference, Excerpt, Quoted

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(32)).decode()
QUOTED = "call-me-at-example"


def verdict(text: str = QUOTED, id_: str = "0" * 32) -> Verdict:
    """Return a verdict that quotes a text in both ways."""
    finding = Finding(
        detector="scam_texts", version="1", label="fraud.phishing", score=0.9, start=0, end=4,
        reason="reads like phishing", evidence=(Evidence("fraud.en.call", 0.4, 0, 4),),
        attributes={"ways": text},
    )  # fmt: skip
    event = EventReference(
        id="m-1", platform="acme", kind="message", occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
        actor_id="u-1", audience="dm",
    )  # fmt: skip
    return Verdict(
        id=id_, taxonomy_version="1", configuration="c", event=event, label="fraud.phishing",
        severity="SEV2", action="review", score=0.9,
        findings=(finding, msgspec.structs.replace(finding, attributes={})),
        excerpt=Excerpt(text, 0),
    )  # fmt: skip


@given(st.text(max_size=60))
def test_what_is_sealed_comes_back_byte_for_byte(text: str) -> None:
    """In the verdict, or beside it."""
    whole = verdict(text)
    sealed, _ = Quoting(Seal(KEY)).told(whole)
    silent, beside = Quoting(Seal(KEY), apart=True).told(whole)
    assert beside is not None
    beside_opened = msgspec.json.decode(
        opened(msgspec.json.encode(beside), [Seal(KEY)]), type=Quoted
    )

    assert opened(msgspec.json.encode(sealed), [Seal(OTHER), Seal(KEY)]) == msgspec.json.encode(
        whole
    )
    assert beside_opened == Quoted(id=whole.id, quotation=quotation(whole))
    assert silent.sealed is None


@pytest.mark.parametrize("quoting", [Quoting(Seal(KEY)), Quoting(Seal(KEY), apart=True)])
def test_without_the_key_nothing_of_the_text_is_there(quoting: Quoting) -> None:
    """Neither in the excerpt nor in what a detector told of it; what matched, and where, stays."""
    written = [part for part in quoting.told(verdict()) if part is not None]
    content = b"".join(msgspec.json.encode(part) for part in written)

    assert QUOTED.encode() in msgspec.json.encode(verdict())
    assert QUOTED.encode() not in content
    assert base64.b64encode(QUOTED.encode()).rstrip(b"=")[:16] not in content
    assert b"fraud.en.call" in content


def test_the_same_verdict_has_the_same_bytes_and_no_other_has() -> None:
    """A redelivery is recognised; the same words under two verdicts are not."""
    quoting = Quoting(Seal(KEY))
    once, again = (quoting.told(verdict())[0] for _ in range(2))
    other, _ = quoting.told(verdict(id_="1" * 32))
    assert once.sealed is not None
    assert other.sealed is not None

    assert once == again
    assert once.sealed.content != other.sealed.content
    assert once.sealed.data_key != other.sealed.data_key


def test_a_quotation_cannot_be_changed_moved_or_opened_with_another_key() -> None:
    """Each is told, with the names of the keys and nothing of what is in it."""
    sealed, _ = Quoting(Seal(KEY)).told(verdict())
    assert sealed.sealed is not None
    content = bytearray(sealed.sealed.content)
    content[-1] ^= 1
    changed = msgspec.structs.replace(
        sealed, sealed=msgspec.structs.replace(sealed.sealed, content=bytes(content))
    )
    moved = msgspec.structs.replace(sealed, id="1" * 32)
    cut = msgspec.structs.replace(
        sealed, sealed=msgspec.structs.replace(sealed.sealed, data_key=b"", content=b"")
    )

    for line in map(msgspec.json.encode, (changed, moved, cut)):
        with pytest.raises(SealError, match="does not open"):
            opened(line, [Seal(KEY)])
    with pytest.raises(
        SealError, match=f"sealed with key {Seal(KEY).name}; given: {Seal(OTHER).name}"
    ):
        opened(msgspec.json.encode(sealed), [Seal(OTHER)])
    with pytest.raises(SealError, match="expected a verdict"):
        opened(b"not json", [Seal(KEY)])


def test_in_clear_apart_keeps_the_quotation_whole() -> None:
    """A topic of its own is protected by who may read it."""
    silent, beside = Quoting(apart=True).told(verdict())

    assert IN_CLEAR.told(verdict()) == (verdict(), None)
    assert QUOTED.encode() not in msgspec.json.encode(silent)
    assert beside == Quoted(id="0" * 32, quotation=quotation(verdict()))


def test_a_verdict_that_quotes_nothing_is_written_as_it_is() -> None:
    """Where a label's rule says `reference`, there is nothing to seal."""
    findings = tuple(msgspec.structs.replace(f, attributes={}) for f in verdict().findings)
    silent = msgspec.structs.replace(verdict(), excerpt=None, findings=findings)

    assert Quoting(Seal(KEY), apart=True).told(silent) == (silent, None)


@pytest.mark.parametrize("key", ["", "abc", KEY[:-4], KEY + "AAAA", "not base64!"])
def test_what_is_no_key_is_refused(key: str) -> None:
    """And not repeated."""
    with pytest.raises(SealError, match="32 bytes in base64") as refused:
        Seal(key)
    assert not key or key not in str(refused.value)


def test_the_configuration_names_a_key_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is started; a key of the environment comes first."""
    (tmp_path / "key").write_text("nonsense-of-a-key\n")
    config = tmp_path / "penjaga.toml"
    config.write_text(f'[escalations]\nseal_key_file = "{tmp_path / "key"}"\n')

    with pytest.raises(SettingsError, match=r"penjaga\.toml:2: .*32 bytes in base64") as refused:
        load(config, {})
    assert "nonsense" not in str(refused.value)
    monkeypatch.setenv("PENJAGA_SEAL_KEY", KEY)
    quoting = load(config, {}).escalations.quoting()
    assert quoting.seal is not None
    assert quoting.seal.name == Seal(KEY).name
    monkeypatch.delenv("PENJAGA_SEAL_KEY")
    (tmp_path / "key").unlink()
    with pytest.raises(SettingsError, match="seal_key_file: cannot read"):
        load(config, {})


def test_escalations_are_opened_line_by_line(tmp_path: Path) -> None:
    """What cannot be is told by its line, and the rest is opened."""
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    sealed, _ = Quoting(Seal(KEY)).told(verdict())
    of_another, _ = Quoting(Seal(OTHER)).told(verdict(id_="1" * 32))
    lines = [msgspec.json.encode(v) for v in (verdict(), sealed, of_another)]
    (tmp_path / "lines").write_bytes(b"\n".join(lines) + b"\n")

    done = CliRunner().invoke(
        cli, ["quotations", "open", str(tmp_path / "lines"), "--key-file", str(key)]
    )

    assert done.exit_code == 1
    assert done.stdout_bytes.splitlines() == [msgspec.json.encode(verdict())] * 2
    assert f"lines:3: verdict {'1' * 32} was sealed with key" in done.stderr
    key.write_text("none")
    done = CliRunner().invoke(
        cli, ["quotations", "open", str(tmp_path / "lines"), "--key-file", str(key)]
    )
    assert (done.exit_code, done.stdout_bytes) == (2, b"")
