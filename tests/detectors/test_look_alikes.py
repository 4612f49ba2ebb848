"""A label is near to a name where the eye or the hand is easily misled."""

import pytest

from detectors.look_alikes import Names, distance, skeleton

NAMES = Names(["facebook", "maybank", "shopee", "mypaymentsite", "dhl"])


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("faceb00k", "facebook"),
        ("rnaybank", "maybank"),
        ("shoppee", "shopee"),
        ("maybanj", "maybank"),
        ("mabyank", "maybank"),
        ("facebok", "facebook"),
        ("mypaimentsitte", "mypaymentsite"),
    ],
)
def test_a_slip_or_a_look_alike_is_near(label: str, name: str) -> None:
    """Digits for letters, letters doubled, dropped, swapped, hit beside; two slips in a long name."""
    near = NAMES.nearest(label)

    assert near is not None
    assert name == near.name


@pytest.mark.parametrize(
    "label",
    ["maybank", "shapes", "shopper", "mayhem", "dhi", "facetime", "daybreak", "maxbonk", ""],
)
def test_other_words_are_not(label: str) -> None:
    """The name itself, words that differ by more, and whatever is near a short name."""
    assert NAMES.nearest(label) is None


def test_characters_that_look_alike_have_one_skeleton() -> None:
    """Two labels that a reader confuses become the same."""
    assert skeleton("modern") == skeleton("rnodem")
    assert skeleton("paypal") == skeleton("paypa1")


@pytest.mark.parametrize(
    ("written", "dearer"),
    [
        ("maybamk", "maybaxk"),
        ("maybbank", "mayzbank"),
        ("maybnak", "maybxxk"),
        ("m4ybank", "mzybanx"),
    ],
)
def test_what_misleads_easily_costs_less(written: str, dearer: str) -> None:
    """Keys side by side, doubled letters, swaps and twins are nearer than any other edit."""
    assert distance(written, "maybank") < distance(dearer, "maybank")
