"""The store: whole files, old copies gone, and trouble told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.feed_store import FeedState, Kept, Store, StoreError, states

NOW = datetime(2026, 1, 31, 23, tzinfo=UTC)


def kept(store: Store, name: str, body: bytes) -> FeedState:
    """Keep a copy and describe it."""
    import hashlib  # noqa: PLC0415

    copy = store.keep(name, body, hashlib.sha256(body).hexdigest(), 1, NOW)
    return FeedState(outcome="updated", checked_at=NOW, confirmed_at=NOW, kept=copy)


def copies(folder: Path) -> set[str]:
    """Return the files of copies by the part before the checksum."""
    return {path.name.partition(".")[0] for path in folder.glob("*.gz")}


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    """State and copy; a version is the beginning of the checksum and the day."""
    store = Store(tmp_path / "deep" / "feeds")
    state = kept(store, "a", b"example.com\n")
    store.save({"a": state})

    assert {"a": state} == states(store.folder)
    assert state.kept is not None
    assert b"example.com\n" == store.body("a", state.kept)
    assert f"{state.kept.sha256[:8]}-2026-01-31" == state.kept.version
    assert {} == states(tmp_path / "absent")


def test_a_copy_goes_when_no_state_names_it(tmp_path: Path) -> None:
    """Only then, and only copies of the same list: those of others are none of its business."""
    store = Store(tmp_path)
    first = kept(store, "a", b"1")
    store.save({"a": first, "a-b": kept(store, "a-b", b"2")})
    second = kept(store, "a", b"3")
    assert 3 == len(list(tmp_path.glob("*.gz")))
    store.save({"a": second})

    assert first.kept is not None
    assert second.kept is not None
    assert (False, True) == (store.has("a", first.kept), store.has("a", second.kept))
    assert {"a", "a-b"} == copies(tmp_path)
    assert [] == list(tmp_path.glob("*.part"))


def test_a_copy_that_is_not_what_was_kept_is_refused(tmp_path: Path) -> None:
    """Changed or cut: the error names the file and what to do."""
    store = Store(tmp_path)
    copy = kept(store, "a", b"1" * 100).kept
    assert isinstance(copy, Kept)
    (path,) = tmp_path.glob("a.*.gz")
    whole = path.read_bytes()
    other = kept(store, "b", b"2").kept
    assert other is not None
    (elsewhere,) = tmp_path.glob("b.*.gz")
    for content in (whole[:-4], b"nothing", elsewhere.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"a\..*\.gz .*remove it and sync again"):
            store.body("a", copy)


def test_a_state_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Rather than taken for none: ages would start anew."""
    (tmp_path / "state.json").write_text('{"a": {}}')
    with pytest.raises(StoreError, match=r"state\.json cannot be read .*remove it and sync again"):
        states(tmp_path)


def test_a_folder_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    """The error names the variable that names another."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"Not a directory.*PENJAGA_FEEDS_DIR"):
        Store(tmp_path / "file" / "feeds")
    with pytest.raises(StoreError, match="File exists"):
        Store(tmp_path / "file")
    store = Store(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(StoreError, match="PENJAGA_FEEDS_DIR"):
        store.save({})
    with pytest.raises(StoreError, match="PENJAGA_FEEDS_DIR"), store.locked():
        raise AssertionError


def test_an_age_counts_from_the_last_confirmation() -> None:
    """Never below zero, and infinite where there was none."""
    state = FeedState(outcome="updated", checked_at=NOW, confirmed_at=NOW)
    later = datetime(2026, 2, 1, tzinfo=UTC)

    assert (3600.0, 0.0) == (
        state.age_seconds(later),
        state.age_seconds(datetime.min.replace(tzinfo=UTC)),
    )
    assert float("inf") == FeedState(outcome="refused", checked_at=NOW).age_seconds(later)
