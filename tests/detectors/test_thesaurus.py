"""The thesaurus: words and phrases of five languages stand for the same concepts."""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import msgspec
import pytest

from detectors import thesaurus
from detectors.folding import fold
from detectors.letters import Letters
from detectors.thesaurus import LONGEST, Thesaurus, compiled, tables

DATA = Path(str(resources.files("detectors") / "data"))
SMALL = {
    "secret": ["secret", "rahsia*", "秘密", "between us"],
    "dont": ["don't", "jangan"],
    "us": ["us"],
    "site": ["s1te4d"],
}


def found(text: str, known: Thesaurus) -> set[tuple[str, str]]:
    """Return what stands for what in a text."""
    folded = fold(text)
    letters = Letters([folded.squeezed or folded.text])
    concepts = known.find(letters)
    return {
        ("".join(map(chr, letters.codes[start:end])), known.names[concept])
        for start, end, concept in zip(
            concepts.starts, concepts.ends, concepts.concepts, strict=True
        )
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a secret, ok", {("secret", "secret")}),
        ("secrets", set()),
        ("ini rahsiaku", {("rahsia", "secret")}),
        ("ini perahsia", set()),
        ("DON’T", set()),
        ("Don't tell", {("don't", "dont")}),
        ("just between us then", {("between us", "secret"), ("us", "us")}),
        ("between, us", {("us", "us")}),
        ("这是秘密哦", {("秘密", "secret")}),
        ("秘", set()),
        ("𝐣𝐚𝐧𝐠𝐚𝐧 r a h s i a", {("jangan", "dont"), ("rahsia", "secret")}),
        ("", set()),
    ],
)
def test_whole_words_phrases_and_stems_are_found(text: str, expected: set[tuple[str, str]]) -> None:
    """A word within another is none; a stem is, at its beginning; disguises are undone before."""
    assert expected == found(text, Thesaurus(compiled([SMALL])))


def test_texts_side_by_side_hold_what_each_holds() -> None:
    """No phrase runs from one into the next."""
    known = Thesaurus(compiled([SMALL]))
    letters = Letters(["between", "us", "a secret"])
    concepts = known.find(letters)
    own = {
        (int(letters.texts[start]), known.names[concept])
        for start, concept in zip(concepts.starts, concepts.concepts, strict=True)
    }

    assert {(1, "us"), (2, "secret")} == own


def test_a_form_of_several_languages_is_one() -> None:
    """Tables are joined by the names of concepts."""
    one = compiled([{"game": ["main"], "chief": ["main"]}, {"game": ["main", "bermain"]}])
    known = Thesaurus(one)

    assert ("chief", "game") == one.concepts
    assert {("main", "chief"), ("main", "game")} == found("main", known)


def test_concepts_keep_their_numbers() -> None:
    """Weights go by them: one that is added comes last, and one without forms leaves no gap."""
    before = compiled([SMALL])
    rest = {name: forms for name, forms in SMALL.items() if name != "secret"}
    after = compiled([{**rest, "aunt": ["aunty"]}], before.concepts)

    assert ("dont", "secret", "site", "us") == before.concepts
    assert (*before.concepts, "aunt") == after.concepts
    assert {("us", "us"), ("aunty", "aunt")} == found("tell us aunty secret", Thesaurus(after))


@pytest.mark.parametrize(
    ("text", "concepts"),
    [
        ("don't tell your mum ok", {"dont", "tell_others", "mother"}),
        ("jangan bagitahu mak tau", {"dont", "tell_others", "mother"}),
        ("jangan bilang mama ya", {"dont", "tell_others", "mother"}),
        ("别告诉妈妈", {"dont", "tell_others", "mother"}),
        ("amma kitta sollatha", {"tell_others", "mother"}),
        ("அம்மா கிட்ட சொல்லாத", {"tell_others", "mother"}),
    ],
)
def test_five_languages_say_the_same(text: str, concepts: set[str]) -> None:
    """The shipped thesaurus holds everyday ways to say a thing."""
    assert concepts <= {concept for _, concept in found(text, Thesaurus(thesaurus.shipped()))}


def test_every_language_has_every_concept() -> None:
    """With several forms each, all lower case, none longer than is looked for."""
    read = tables(DATA)
    assert 5 == len(read)
    assert 650 < len(read[0])
    for table in read:
        assert read[0].keys() == table.keys()
        forms = [form for held in table.values() for form in held]
        assert len(forms) > 10 * len(table)
        assert [] == [form for form in forms if form != form.lower() or not form.strip("* ")]
        assert [] == [form for form in forms if len(form.rstrip("*")) > LONGEST]


def test_what_ships_is_compiled_from_what_is_read(tmp_path: Path) -> None:
    """An edited thesaurus that was not compiled anew would be a promise that nothing keeps."""
    shipped = DATA.parent / "models" / "thesaurus.msgpack"

    assert shipped.read_bytes() == thesaurus.write(tmp_path).read_bytes()


def test_the_command_compiles_it(tmp_path: Path) -> None:
    """Without examples, and the weights stay."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "train", "--thesaurus", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode
    assert ["thesaurus.msgpack"] == [path.name for path in tmp_path.iterdir()]
    held = msgspec.msgpack.decode((tmp_path / "thesaurus.msgpack").read_bytes())
    assert 0 < len(held["keys"]) == 2 * len(held["ends"]) <= 4 * len(held["of"])


def test_a_malformed_thesaurus_is_named(tmp_path: Path) -> None:
    """With the file, and what is wrong with it."""
    (tmp_path / "concepts.xx.toml").write_text('mother = "mum"\n', encoding="utf-8")

    with pytest.raises(ValueError, match=r"concepts\.xx\.toml: Expected `array`"):
        tables(tmp_path)
