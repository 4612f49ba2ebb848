"""The signs of a link are written plainly, and every character still knows where it stood."""

import pytest

from detectors.link_spellings import is_plain, respelled


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("see hxxp[:]//a[.]b.com now", "see http://a.b.com now"),
        ("claimbonus dot com", "claimbonus.com"),
        ("c l a i m . c o m", "claim.com"),
        ("bit . ly / abc", "bit.ly/abc"),
        ("kedai。com", "kedai.com"),
    ],
)
def test_signs_are_written_plainly(text: str, plain: str) -> None:
    """What was spelled to escape notice reads like any other link."""
    assert not is_plain(text)
    assert plain == respelled(text).text


@pytest.mark.parametrize(
    "text",
    ["see http://a.b.com/x now", "the end. of it", "no sign here", "你好。我是", "a.com/x.y"],
)
def test_plain_texts_stay_as_they_are(text: str) -> None:
    """Ordinary links and sentences are left alone, quickly."""
    assert is_plain(text)
    assert text == respelled(text).text


def test_spans_lead_back() -> None:
    """A character that was not rewritten stands for itself, one that was for all that it was made from."""
    text = "go a[.]b.com now"
    found = respelled(text)
    at = found.text.index("a.b")

    assert "a[.]b" == text[slice(*found.span(at, at + 3))]
    assert "[.]" == text[slice(*found.span(at + 1, at + 2))]
    assert "now" == text[slice(*found.span(found.text.index("now"), len(found.text)))]


def test_what_was_rewritten_is_known() -> None:
    """A label that was pulled apart does not stand in the text in one piece; its neighbour does."""
    found = respelled("c l a i m . c o m ok")

    assert (False, True) == (found.is_verbatim(0, 5), found.is_verbatim(10, 12))
