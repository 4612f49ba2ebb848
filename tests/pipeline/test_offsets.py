"""What may be committed: against a slow model that knows every single offset, and case by case."""

from collections.abc import Iterable
from typing import Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.offsets import Offsets, Span

PARTITIONS: Final = ("a", "b")


def fetched(offsets: Offsets[str], begin: int, end: int, partition: str = "a") -> Span[str]:
    """Fetch in the first generation, where nothing has to be read again."""
    span = offsets.fetched(partition, 1, begin, end)

    assert span is not None

    return span


class Model:
    """One partition in one generation, offset by offset."""

    def __init__(self, begin: int) -> None:
        self.start = self.position = self.committed = begin
        self.by_offset: dict[int, int] = {}

    def fetch(self, number: int, begin: int, end: int) -> None:
        if begin < self.position:
            self.set_back(begin)
        self.by_offset |= dict.fromkeys(range(begin, end), number)
        self.position = end

    def set_back(self, begin: int) -> None:
        self.by_offset = {o: n for o, n in self.by_offset.items() if o < begin}
        self.start = min(self.start, begin)
        self.committed = min(self.committed, begin)
        self.position = begin

    def committable(self, confirmed: set[int], free: set[int]) -> int:
        """Walk up from where reading began to the first offset whose span is not free to be committed."""
        blocked = (o for o, n in self.by_offset.items() if n not in confirmed or n not in free)
        first_blocked = min(blocked, default=self.position)
        # Offsets without a span in front of a blocked one were jumped over, and are covered by that one.
        below = [o for o in self.by_offset if o < first_blocked]
        return max([self.start, *(o + 1 for o in below)])


class Machine:
    """The real thing and the model, driven by the same operations."""

    def __init__(self) -> None:
        self.offsets: Offsets[str] = Offsets()
        self.models: dict[str, Model] = {}
        self.spans: list[Span[str]] = []
        self.confirmed: set[int] = set()
        self.held: set[int] = set()
        self.rereads: dict[str, int] = {}
        self.positions = dict.fromkeys(PARTITIONS, 0)
        self.generation = 1
        self.generations: dict[str, int] = {}

    def fetch(self, partition: str, jump: int, size: int) -> None:
        """Read on, after a jump forward or back (records expired, a topic made anew)."""
        begin = max(0, self.positions[partition] + jump)
        end = begin + size
        if partition not in self.generations:
            self.generations[partition] = self.generation
        span = self.offsets.fetched(partition, self.generations[partition], begin, end)

        assert (partition in self.rereads) == (span is None)

        if span is not None:
            self.positions[partition] = end
            model = self.models.setdefault(partition, Model(begin))
            model.fetch(span.number, begin, end)
            self.spans.append(span)

    def confirm(self, index: int, *, held: bool) -> None:
        """Confirm any span there ever was: an old one, or one twice, must change nothing."""
        if self.spans:
            span = self.spans[index % len(self.spans)]
            if self.is_live(span) and span.number not in self.confirmed:
                self.confirmed.add(span.number)
                self.held |= {span.number} if held else set()
            self.offsets.confirm(span, held=held)

    def drop(self, index: int) -> None:
        """Lose any span there ever was: only a live, unconfirmed one counts."""
        if self.spans:
            span = self.spans[index % len(self.spans)]
            if self.is_live(span) and span.number not in self.confirmed:
                self.models[span.partition].set_back(span.begin)
                self.rereads[span.partition] = span.begin
            self.offsets.drop(span)

    def reread(self) -> None:
        """Set back what lost spans."""
        taken = {partition: span.begin for partition, span in self.offsets.take_rereads().items()}

        assert self.rereads == taken

        self.positions |= taken
        self.rereads = {}

    def revoke(self, partition: str) -> None:
        """Take a partition away; when it comes back, it is read from what was committed."""
        self.offsets.revoke([partition])
        self.generation += 1
        self.generations.pop(partition, None)
        self.rereads.pop(partition, None)
        if model := self.models.pop(partition, None):
            self.positions[partition] = model.committed

    def is_live(self, span: Span[str]) -> bool:
        model = self.models.get(span.partition)
        return model is not None and span.number in model.by_offset.values()

    def take(self) -> None:
        """Commit: exactly what the model allows, no more and no less."""
        released = max(self.confirmed - self.held, default=-1)
        free = {s.number for s in self.spans if s.number not in self.held or s.number < released}
        expected = {}
        for partition, model in self.models.items():
            offset = model.committable(self.confirmed, free)
            if offset != model.committed:
                expected[partition] = offset

                assert offset > model.committed

                model.committed = offset

        assert expected == self.offsets.take_committable()

    def check(self) -> None:
        """Compare what is in hand."""
        live = {n for model in self.models.values() for n in model.by_offset.values()}

        assert len(live - self.confirmed) == self.offsets.unconfirmed


OPERATIONS: Final = st.one_of(
    st.tuples(
        st.just("fetch"),
        st.sampled_from(PARTITIONS),
        st.sampled_from([0, 0, 0, 0, 0, 1, 7, -1, -6, -40]),
        st.integers(1, 9),
    ),
    st.tuples(st.just("confirm"), st.integers(0, 99), st.booleans()),
    st.tuples(st.just("confirm"), st.integers(0, 99), st.just(False)),  # noqa: FBT003
    st.tuples(st.just("drop"), st.integers(0, 99)),
    st.tuples(st.just("reread")),
    st.tuples(st.just("revoke"), st.sampled_from(PARTITIONS)),
    st.tuples(st.just("take")),
    st.tuples(st.just("take")),
)


@settings(max_examples=2000)
@given(st.lists(OPERATIONS, max_size=40))
def test_any_course_of_events_commits_what_the_model_allows(
    operations: Iterable[tuple[object, ...]],
) -> None:
    """Random fetches, jumps, confirmations in any order, losses, revocations: model and code agree."""
    machine = Machine()
    for name, *arguments in operations:
        match name, arguments:
            case "fetch", [str(partition), int(jump), int(size)]:
                machine.fetch(partition, jump, size)
            case "confirm", [int(index), bool(held)]:
                machine.confirm(index, held=held)
            case "drop", [int(index)]:
                machine.drop(index)
            case "reread", []:
                machine.reread()
            case "revoke", [str(partition)]:
                machine.revoke(partition)
            case "take", []:
                machine.take()
            case other:
                pytest.fail(f"{other} is no operation")
        machine.check()
    machine.take()


def test_an_unconfirmed_span_holds_back_what_is_behind_it() -> None:
    """Confirmed out of order, the second span is committed with the first, in one offset."""
    offsets: Offsets[str] = Offsets()
    first, second = fetched(offsets, 0, 10), fetched(offsets, 10, 20)
    offsets.confirm(second)
    before = offsets.take_committable()
    offsets.confirm(first)
    after = offsets.take_committable()

    assert {} == before
    assert {"a": 20} == after
    assert {} == offsets.take_committable()


def test_offsets_without_a_record_are_covered() -> None:
    """A span that begins after a jump commits up to its own end, and an empty one up to its end too."""
    offsets: Offsets[str] = Offsets()
    for begin, end in ((3, 5), (9, 12), (12, 14)):
        offsets.confirm(fetched(offsets, begin, end))

    assert {"a": 14} == offsets.take_committable()


@pytest.mark.parametrize("late", ["held", "releasing"])
def test_a_held_span_waits_for_a_later_one_that_is_not(late: Literal["held", "releasing"]) -> None:
    """Which of the two is confirmed last makes no difference; and they may be of different partitions."""
    offsets: Offsets[str] = Offsets()
    held, releasing = fetched(offsets, 0, 10), fetched(offsets, 0, 5, "b")
    if late == "held":
        offsets.confirm(releasing)
        alone = offsets.take_committable()
        offsets.confirm(held, held=True)
    else:
        offsets.confirm(held, held=True)
        alone = offsets.take_committable()
        offsets.confirm(releasing)
    both = alone | offsets.take_committable()

    assert ({"b": 5} if late == "held" else {}) == alone
    assert {"a": 10, "b": 5} == both


def test_an_earlier_good_span_does_not_release() -> None:
    """A run of rejected records is committed with the good record that ends it, not one before it."""
    offsets: Offsets[str] = Offsets()
    good, held = fetched(offsets, 0, 10), fetched(offsets, 10, 20)
    offsets.confirm(held, held=True)
    offsets.confirm(good)

    assert {"a": 10} == offsets.take_committable()


def test_a_span_of_an_earlier_generation_is_ignored() -> None:
    """What was fetched before a rebalance may be confirmed late; it commits nothing."""
    offsets: Offsets[str] = Offsets()
    old = fetched(offsets, 0, 10)
    again = offsets.fetched("a", 2, 10, 20)
    offsets.confirm(old)
    before = offsets.take_committable()

    assert again is not None
    assert not offsets.is_current(old)
    assert offsets.is_current(again)
    assert {} == before
    assert 1 == offsets.unconfirmed

    offsets.confirm(again)

    assert {"a": 20} == offsets.take_committable()


def test_a_dropped_span_and_all_behind_it_are_read_again() -> None:
    """Nothing is accepted for the partition until it has been set back; then reading goes on from there."""
    offsets: Offsets[str] = Offsets()
    first, second, third = (fetched(offsets, n, n + 10) for n in (0, 10, 20))
    offsets.confirm(third)
    offsets.drop(second)
    refused = offsets.fetched("a", 1, 30, 40)
    rereads = offsets.take_rereads()
    again = fetched(offsets, 10, 30)
    offsets.confirm(first)
    offsets.confirm(again)

    assert refused is None
    assert {"a": second} == rereads
    assert not offsets.is_current(third)
    assert {"a": 30} == offsets.take_committable()


def test_a_topic_made_anew_is_committed_from_its_beginning() -> None:
    """An offset behind what is there would hide records that were never seen."""
    offsets: Offsets[str] = Offsets()
    offsets.confirm(fetched(offsets, 1000, 1010))
    before = offsets.take_committable()
    offsets.confirm(fetched(offsets, 0, 40))

    assert {"a": 1010} == before
    assert {"a": 40} == offsets.take_committable()


def test_what_is_confirmed_is_forgotten() -> None:
    """A day of fetches leaves nothing behind but the partition itself."""
    offsets: Offsets[str] = Offsets()
    for n in range(10_000):
        offsets.confirm(fetched(offsets, n, n + 1))
        if n % 100 == 0:
            offsets.take_committable()

    assert {"a": 10_000} == offsets.take_committable()
    assert 0 == offsets.unconfirmed
    assert 0 == sum(len(kept) for kept in vars(offsets).values() if isinstance(kept, dict)) - 1


def test_the_base_moves_with_what_is_confirmed() -> None:
    """It is where reading began until a commit is looked for, and unknown of what was never fetched."""
    offsets: Offsets[str] = Offsets()
    first = fetched(offsets, 5, 8)
    fetched(offsets, 8, 9)
    before = offsets.base("a")
    offsets.confirm(first)
    offsets.take_committable()

    assert (5, 8, None) == (before, offsets.base("a"), offsets.base("b"))
