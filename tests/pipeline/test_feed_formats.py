"""Formats: every usual one gives the same names, and what is no name is told."""

import csv
import json

import pytest

from pipeline.feed import Feed, Format
from pipeline.feed_formats import Exempt, FormatError, items
from pipeline.feed_names import Name

BODIES: dict[str, tuple[Format, str, dict[str, object]]] = {
    "plain": (
        "plain",
        "# remark\n\nexample.com\n  *.example.net # why\n! another\n// third\nhttps://example.org/a#b\n",
        {},
    ),
    "plain, from elsewhere": (
        "plain",
        "\ufeff# remark\r\nexample.com\r\n.example.net\r\nexample.org/a\r\n",
        {},
    ),
    "hosts": (
        "hosts",
        "127.0.0.1 localhost\n0.0.0.0 example.com www.example.com # two\n::1 .example.net example.org/a\n",
        {},
    ),
    "adblock": (
        "adblock",
        "[Adblock Plus 2.0]\n! Title\n||example.com^\n||example.net^$all,popup\n||example.org/a^\n",
        {},
    ),
    "csv by name": (
        "csv",
        'id,url\n# in between\n1,example.com\n2,"*.example.net"\n3, "https://example.org/a"\n',
        {"column": "url"},
    ),
    "csv with its header in a remark": (
        "csv",
        '# a list\n# url;id\n"example.com";"1"\n"*.example.net";"2"\n"example.org/a";"3"\n',
        {"column": "url", "delimiter": ";"},
    ),
    "csv by number": (
        "csv",
        "1\texample.com\n2\t*.example.net\n3\texample.org/a\n",
        {"column": 2, "delimiter": "\t"},
    ),
    "json": ("json", '["example.com", "*.example.net", "https://example.org/a"]', {}),
    "json by field": (
        "json",
        '{"data": [{"url": "example.com"}, {"url": ["*.example.net", "example.org/a"]}], "url": "x"}',
        {"field": "data.url"},
    ),
    "json lines": ("jsonl", '"example.com"\n\n"*.example.net"\n"example.org/a"\n', {}),
    "json lines by field": (
        "jsonl",
        '{"a": {"b": "example.com"}}\n{"a": {"b": "*.example.net"}}\n{"a": {"b": "example.org/a"}}',
        {"field": "a.b"},
    ),
}


def feed(format_: Format, **settings: object) -> Feed:
    """Describe a list in a format."""
    return Feed(url="file:///a", label="fraud.phishing", format=format_, **settings)  # type: ignore[arg-type]  # any setting


@pytest.mark.parametrize("case", BODIES)
def test_each_format_gives_the_same_names(case: str) -> None:
    """A domain, all below a domain, and a page."""
    format_, body, settings = BODIES[case]
    found = dict.fromkeys(items(body.encode(), feed(format_, **settings)))
    keys = {item.key for item in found if isinstance(item, Name)}

    assert {"example.com", "example.net", "example.org/a"} == keys
    assert not [item for item in found if isinstance(item, str)]
    assert {"example.net"} <= {i.key for i in found if isinstance(i, Name) and i.has_wildcard}


FAULTS: dict[str, tuple[Format, str, dict[str, object], list[str]]] = {
    "plain": (
        "plain",
        "0.0.0.0 example.com\nexample.invalid\n",
        {},
        ["malformed", "unknown_suffix"],
    ),
    "plain, not UTF-8": ("plain", "ex\udcffmple.com\n", {}, ["malformed"]),
    "hosts without an address": ("hosts", "example.com\n0.0.0.0\n", {}, ["malformed", "malformed"]),
    "adblock": (
        "adblock",
        "example.org##.ad\n/regex/\n||example.com^$domain=example.net\n||ex*mple.com^\n@@/x/\n",
        {},
        ["unsupported_rule"] * 5,
    ),
    "csv": ("csv", "a,b\n1\n", {"column": "b"}, ["missing_field"]),
    "json": ("json", '[{"u": "a"}, 1, null, {"url": 1}]', {"field": "url"}, ["missing_field"] * 4),
    "json lines": ("jsonl", '{"url"\n{"url": "nothing"}\n', {"field": "url"}, ["malformed"] * 2),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_no_name_is_counted_where_it_stands(case: str) -> None:
    """Nothing is passed over in silence."""
    format_, body, settings, faults = FAULTS[case]

    assert faults == list(items(body.encode("utf-8", "surrogateescape"), feed(format_, **settings)))


def test_an_exception_of_a_list_is_one() -> None:
    """`@@||name^` takes a name out of the list that says it; a bare name in such a list is a domain."""
    found = list(items(b"@@||example.com^\nexample.net\n", feed("adblock")))

    assert [True, False] == [isinstance(item, Exempt) for item in found]


@pytest.mark.parametrize(
    ("format_", "body", "settings", "problem"),
    [
        ("json", "{", {}, "not JSON: line 1"),
        ("csv", "a,b\n", {"column": "url"}, "no column `url` in the header"),
        ("csv", "", {"column": "url"}, "no column `url` in the header"),
        ("csv", 'url\n"' + "a" * 200_000, {"column": "url"}, "not CSV: field larger"),
    ],
)
def test_a_whole_in_another_format_is_refused(
    format_: Format, body: str, settings: dict[str, object], problem: str
) -> None:
    """The error says what is missing."""
    with pytest.raises(FormatError, match=problem):
        list(items(body.encode(), feed(format_, **settings)))


def test_a_field_is_limited_whatever_others_did_to_the_limit() -> None:
    """The limit is the process's, and a library that reads large files lifts it for all."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        with pytest.raises(FormatError, match="field larger"):
            list(items(b'url\n"' + b"a" * 200_000, feed("csv", column="url")))
    finally:
        csv.field_size_limit(before)


def test_a_field_may_hold_what_json_can() -> None:
    """Objects on the way that lack the field are counted once each."""
    body = json.dumps({"list": [{"name": "example.com"}, {}, {"name": None}]}).encode()

    found = list(items(body, feed("json", field="list.name")))

    assert ["example.com"] == [item.key for item in found if isinstance(item, Name)]
    assert ["missing_field"] * 2 == [item for item in found if isinstance(item, str)]
