"""Train the model of hosts from lists of names: `python -m detectors.models.training`.

Needs scikit-learn, which nothing else does: `pip install 'scikit-learn>=1.5'`. What the shipped model was
trained on is in `hosts.md` beside this file.
"""

import argparse
import gzip
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from detectors.folding import fold
from detectors.host_scorer import (
    LONGEST_LABEL,
    SHAPE_VALUE,
    HostScorer,
    features,
    is_of_country,
    packed,
)
from detectors.hosts import registered_domain

BITS: Final = 19
"""The model has two to the power of this many weights of a byte each."""
MOST_OF_A_LIST: Final = 20_000
_INVERSE_PENALTY: Final = 2.0
_ROUNDS: Final = 200


Row = tuple[str, str]
"""A registered label as a reader sees it, and its suffix."""


class Names:
    """Hosts of a list as the model sees them, each registered domain once.

    Names under hosting services are left out: the lists of honest names hold none to compare with.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        """Take hosts apart; those that cannot be registered are left out too."""
        self.rows: dict[str, Row] = {}
        for host in hosts:
            domain, suffix, is_hosted = registered_domain(host.strip(". ").lower())
            if domain and not is_hosted:
                label = fold(domain.removesuffix("." + suffix)).text[:LONGEST_LABEL]
                self.rows.setdefault(domain, (label, suffix))

    def without(self, domains: Collection[str]) -> list[Row]:
        """Return the rows of all other domains, in order of their names."""
        return [self.rows[domain] for domain in sorted(self.rows.keys() - set(domains))]

    def made_to_deceive(self, domains: Collection[str]) -> list[Row]:
        """Return likewise those that somebody registered for it.

        Under a country's own suffix most are honest sites that were broken into.
        """
        return [row for row in self.without(domains) if not is_of_country(row[1])]


def train(bad: Sequence[Sequence[Row]], good: Sequence[Row]) -> bytes:
    """Fit a model; each list of bad names weighs as the square root of its length, all as the good ones.

    The same names give the same model.
    """
    # Imported here, because only training needs them.
    import numpy as np  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    taken = [_some(rows) for rows in bad]
    shares = [len(rows) ** 0.5 for rows in taken]
    weights = [
        share / sum(shares) * len(good) / len(rows)
        for share, rows in zip(shares, taken, strict=True)
        for _ in rows
    ]
    rows = [*(row for some in taken for row in some), *good]
    target = np.array([1] * len(weights) + [0] * len(good))
    model = LogisticRegression(C=_INVERSE_PENALTY, solver="liblinear", max_iter=_ROUNDS)
    model.fit(_matrix(rows), target, sample_weight=np.array(weights + [1.0] * len(good)))
    coefficients = model.coef_[0]
    unit = float(np.quantile(np.abs(coefficients[coefficients != 0]), 0.9999)) / 127
    eighths = np.clip(np.rint(coefficients / unit), -127, 127).astype(np.int8)
    return packed(BITS, float(model.intercept_[0]), unit, eighths.tobytes())


def _some(rows: Sequence[Row]) -> list[Row]:
    if len(rows) <= MOST_OF_A_LIST:
        return list(rows)
    return Random(0).sample(list(rows), MOST_OF_A_LIST)  # noqa: S311  # a sample, not a secret


def _matrix(rows: Sequence[Row]) -> Any:  # noqa: ANN401  # scipy has no types
    import numpy as np  # noqa: PLC0415
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    columns: list[int] = []
    values: list[float] = []
    ends = [0]
    for label, suffix in rows:
        grams, shapes = features(label, suffix, mask=2**BITS - 1)
        columns += [*grams, *shapes]
        values += [len(grams) ** -0.5] * len(grams) + [SHAPE_VALUE] * len(shapes)
        ends.append(len(columns))
    return csr_matrix((np.array(values, np.float32), columns, ends), (len(rows), 2**BITS))


def _read(path: Path) -> list[str]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the lists that the command line names, train, write the model."""
    parser = argparse.ArgumentParser(
        prog="python -m detectors.models.training", description=__doc__
    )
    parser.add_argument("--bad", type=Path, nargs="+", required=True, help="lists of bad hosts")
    parser.add_argument("--good", type=Path, nargs="+", required=True, help="lists of honest hosts")
    parser.add_argument(
        "--without", type=Path, nargs="*", default=[], help="lists of hosts to leave out of the bad"
    )
    parser.add_argument("--to", type=Path, default=Path(__file__).with_name("hosts.bin"))
    given = parser.parse_args(arguments)
    good = Names(host for path in given.good for host in _read(path))
    honest = good.rows.keys() | Names(host for path in given.without for host in _read(path)).rows
    bad = [Names(_read(path)).made_to_deceive(honest) for path in given.bad]
    model = train(bad, good.without(()))
    given.to.write_bytes(model)
    digest = HostScorer(model).digest
    counts = ", ".join(
        f"{path.name} {len(rows)}" for path, rows in zip(given.bad, bad, strict=True)
    )
    sys.stdout.write(f"{given.to}: {digest}, from {counts}; {len(good.rows)} honest names\n")


if __name__ == "__main__":
    main()
