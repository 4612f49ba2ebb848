"""The model of hosts is small, explains itself, and is made again from the same names."""

from itertools import pairwise

import pytest

from detectors.host_scorer import MAGIC, HostScorer, Judgement, features, is_of_country, packed
from detectors.links import parse_link

MEGABYTE = 2**20


def judged(url: str, scorer: HostScorer | None = None) -> Judgement | None:
    """Return what a model makes of a link."""
    link = parse_link(url)
    assert link is not None
    return (scorer or HostScorer.shipped()).judge(link)


def knowing(label: str, weight: int) -> HostScorer:
    """Return a model that gives every n-gram of one label the same weight, and nothing to any other."""
    bits = 16
    weights = bytearray(2**bits)
    for index in features(label, "com", mask=2**bits - 1)[0]:
        weights[index] = weight
    return HostScorer(packed(bits, 0.0, 0.05, bytes(weights)))


def test_the_shipped_model_is_small() -> None:
    """It fits into a megabyte."""
    scorer = HostScorer.shipped()

    assert MEGABYTE >= scorer.size


@pytest.mark.parametrize("url", ["http://x.secure-wallet-restore.com/", "ledger-walletconnect.com"])
def test_parts_and_rest_add_up_to_the_weight(url: str) -> None:
    """A reviewer can add the model's share up again; parts do not overlap and lie in the host."""
    found = judged(url)
    link = parse_link(url)

    assert found is not None
    assert link is not None
    assert found.weight == round(sum(part.weight for part in found.parts) + found.rest, 4)
    spans = sorted((part.start, part.end) for part in found.parts)
    assert spans != []
    assert all(0 <= start < end <= len(link.looks) for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_parts_name_what_the_model_knows() -> None:
    """The strongest run of letters is where the known letters are, also behind a subdomain."""
    found = judged("http://www.zzzzzzzzwallet.com/", knowing("wallet", 100))

    assert found is not None
    link = parse_link("http://www.zzzzzzzzwallet.com/")
    assert link is not None
    first = found.parts[0]
    assert "wallet" == link.looks[first.start : first.end]


def test_what_the_model_does_not_know_adds_nothing() -> None:
    """Below its threshold a host is not judged at all."""
    assert judged("http://kedaibunga.com/", knowing("wallet", 100)) is None


def test_countries_and_new_suffixes_are_not_held_against_a_name() -> None:
    """A shop in Malaysia or under `shop` has the same score as in Chile: the lists say nothing of either."""
    scorer = HostScorer.shipped()
    scores = {
        scorer.logit("kedaibunga", suffix) for suffix in ("my", "com.my", "cl", "shop", "xyz")
    }

    assert 1 == len(scores)


def test_a_country_is_told_from_a_suffix_sold_to_anybody() -> None:
    """`com.my` is Malaysia's; `tk` and `io` are nobody's."""
    suffixes = ("my", "com.my", "co.id", "com", "xyz", "tk", "io")

    assert [True, True, True, False, False, False, False] == [is_of_country(s) for s in suffixes]


@pytest.mark.parametrize("model", [b"", b"PK\x03\x04", packed(16, 0.0, 1.0, b"short")])
def test_other_bytes_are_refused(model: bytes) -> None:
    """A damaged file is no model of anything."""
    with pytest.raises(ValueError, match="not a model of hosts"):
        HostScorer(model)


def test_training_learns_and_repeats_itself() -> None:
    """The same names give the same bytes, and names like the bad ones score higher than others."""
    pytest.importorskip("sklearn")
    from detectors.models.training import Names, train  # noqa: PLC0415

    bad = Names(
        f"{word}-{what}.com" for word in ("secure", "verify", "login") for what in "abcdefgh"
    )
    good = Names(f"{word}{what}.com" for word in ("kedai", "bunga", "rumah") for what in "abcdefgh")

    model = train([bad.made_to_deceive(())], good.without(()))

    scorer = HostScorer(model)
    assert model.startswith(MAGIC)
    assert model == train([bad.made_to_deceive(())], good.without(()))
    assert scorer.logit("verify-login", "com") > scorer.logit("kedaibuku", "com")


def test_training_leaves_out_sites_that_were_broken_into_and_hosting() -> None:
    """Under a country's suffix most listed names are honest; under hosting there is nothing to compare."""
    pytest.importorskip("sklearn")
    from detectors.models.training import Names  # noqa: PLC0415

    names = Names(["login-now.com", "a.login-now.com", "kedai.com.my", "x.vercel.app", "localhost"])

    assert ["kedai.com.my", "login-now.com"] == sorted(names.rows)
    assert [("login-now", "com")] == names.made_to_deceive(())
    assert [] == names.made_to_deceive({"login-now.com"})
