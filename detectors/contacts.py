"""Ways to reach somebody that a text gives: chat handles, chat links, phone numbers.

Numbers are read in digits, in words or in both, in Malay, Indonesian, English, Chinese and Tamil. What is a
phone number is decided by `phonenumbers`, the numbering plans that Google keeps; nothing is ever fetched.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal
from urllib.parse import parse_qs, unquote

import msgspec
import regex

from detectors.folding import Folded, fold
from detectors.known_sites import KNOWN_SITES
from detectors.links import Link, find_links
from detectors.phones import dialled, find_numbers

Kind = Literal["whatsapp", "telegram", "line", "wechat", "phone"]


class Contact(msgspec.Struct, frozen=True):
    """One way to reach somebody; `start` and `end` are code points of the original text, end exclusive.

    `value` is the same however it was written: a phone number in E.164 (`+60123456789`), a handle in lower
    case without its `@` (LINE's official accounts keep it), `invite:` or `link:` and a code as it was
    written.
    """

    kind: Kind
    value: str
    start: int
    end: int


_NAMES: Final[dict[Kind, str]] = {
    "whatsapp": r"whats\ ?app|whatapp|wasap|wassap|watsap|wsap|ws|wa|வாட்ஸ்அப்|வாட்ஸப்",
    "telegram": "telegram|tele|tg|电报|電報|飞机|飛機|纸飞机|紙飛機|டெலிகிராம்",
    "line": "line|赖|賴",
    "wechat": r"we\ ?chat|weixin|微信|威信|薇信|加v|加微|vx|wx",
}
_NUMBERED: Final[dict[Kind, str]] = {
    "whatsapp": _NAMES["whatsapp"],
    "telegram": "telegram|电报|電報",
    "wechat": _NAMES["wechat"],
}
"""By which a phone number is reached: "tele" before one is a telephone."""
_FILLER: Final = (
    r"(?:\ ?(?:id|no|nombor|nomor|number|num|hp|me|us|saya|kami|kita|aku|i|admin|at|on|ke|di|user|username"
    r"|handle|acc|account|akaun|akun|group|channel|号|號|账号|帳號|联系|我)\b)"
)
_NAMED: Final = {
    kind: regex.compile(
        rf"(?<![a-z0-9])(?:{fold(names).text}){_FILLER}{{0,3}} ?[:=\-–>.]{{0,2}} ?\(?\Z"
    )
    for kind, names in _NUMBERED.items()
}
"""What stands right before a number that says by which application it is reached."""

_HANDLE: Final = regex.compile(
    rf"""
    (?<![a-z0-9])(?:
      (?P<telegram>{fold(_NAMES["telegram"]).text}){_FILLER}{{0,3}}\ ?(?P<colon>[:=>])?[\ \-]{{0,2}}
        (?P<at>@)?(?P<telegram_id>[a-z][a-z0-9_]{{4,31}})
      | (?:(?P<line>id\ ?line|line\ ?id|line\ ?@|(?:赖|賴)\ ?(?:id)?))(?![a-z])\ ?(?P<line_colon>[:=])?\ ?
        (?P<line_id>@?[a-z0-9][a-z0-9._\-]{{3,19}})
      | (?P<wechat>{fold(_NAMES["wechat"]).text})\ ?(?P<says_id>id|号|號)?\ ?[:=是]?\ ?
        (?P<wechat_id>[a-z][a-z0-9_\-]{{5,19}})
    )(?![a-z0-9_@])
    """,
    regex.VERBOSE,
)
_APPLICATION: Final = re.compile(
    "|".join(fold(_NAMES[kind]).text.replace("\\ ", " ") for kind in ("telegram", "line", "wechat"))
)
_MADE_UP: Final = regex.compile(r"[0-9_-]")
"""Without a sign that it is one, a word is taken for a handle only if it is none of a language."""
_DEEP: Final = regex.compile(
    r"(?<![a-z0-9])(?P<app>whatsapp|tg|line|weixin)://(?P<rest>[^\s<>\"']+)"
)
_APP_KINDS: Final[dict[str, Kind]] = {
    "whatsapp": "whatsapp",
    "tg": "telegram",
    "line": "line",
    "weixin": "wechat",
}
_TELEGRAM_NAME: Final = regex.compile(r"[a-z][a-z0-9_]{3,31}")
_PAGES: Final = frozenset({"joinchat", "s", "share", "addstickers", "proxy", "iv", "c"})
"""What stands where a name would in the path of a Telegram link."""


def find_contacts(folded: Folded) -> list[Contact]:
    """Return the contacts of a text in order.

    Raises:
        TimeoutError: if a hostile text takes longer than a second.
    """
    links = find_links(folded)
    found = [*_in_links(folded, links), *_deep(folded)]
    taken = [(link.start, link.end) for link in links] + [(c.start, c.end) for c in found]
    for handle in _handles(folded):
        if _is_free(handle.start, handle.end, taken):
            found.append(handle)
            taken.append((handle.start, handle.end))
    for value, start, end in find_numbers(folded.text):
        first, last = folded.span(start, end)
        if _is_free(first, last, taken):
            found.append(
                Contact(_named(folded.text[max(0, start - 40) : start]), value, first, last)
            )
    return sorted(found, key=lambda contact: (contact.start, contact.end))


MOST_WAYS: Final = 5


def ways(folded: Folded) -> dict[str, str]:
    """Return where a text leads, as attributes of a finding: `ways`, separated by blanks; none if nowhere.

    Registered domains, but for those so well known that they say nothing, and contacts as `kind:value`. By
    these, messages of many senders that push one thing are told to belong together.
    """
    domains = [
        link.domain
        for link in find_links(folded)
        if link.domain and not link.is_chat and link.domain not in KNOWN_SITES
    ]
    contacts = [f"{c.kind}:{c.value}" for c in find_contacts(folded)]
    found = list(dict.fromkeys((*domains, *contacts)))[:MOST_WAYS]
    return {"ways": " ".join(found)} if found else {}


def _is_free(start: int, end: int, taken: Sequence[tuple[int, int]]) -> bool:
    return all(end <= first or last <= start for first, last in taken)


def _in_links(folded: Folded, links: Sequence[Link]) -> Iterator[Contact]:
    """Yield whom the links lead to."""
    for link in links:
        found = _reached(link, _path_as_written(folded, link))
        if found is not None:
            kind, value = found
            yield Contact(kind, value, link.start, link.end)


def _path_as_written(folded: Folded, link: Link) -> str:
    """Return a link's path with its capitals, which codes of invitations need."""
    written = folded.original[link.start : link.end][-len(link.path) :] if link.path else ""
    return written if written.lower() == link.path else link.path


def _reached(link: Link, path: str) -> tuple[Kind, str] | None:
    """Return by which application a link reaches whom."""
    route, _, query = path.partition("?")
    steps = [step for step in unquote(route.partition("#")[0]).split("/") if step]
    if link.domain in {"t.me", "telegram.me", "telegram.dog"}:
        return _telegram(link.subdomain, steps)
    if link.host == "line.me":
        return _line(steps)
    if link.domain == "lin.ee":
        return ("line", f"link:{steps[0]}") if steps else None
    value = _whatsapp(link, steps, query)
    return ("whatsapp", value) if value else None


def _whatsapp(link: Link, steps: Sequence[str], query: str) -> str | None:
    first, *rest = steps or [""]
    if link.domain in {"wa.me", "wasap.my"}:
        return _dialled(first) or (f"link:{rest[0]}" if rest else None)
    if link.host in {"api.whatsapp.com", "web.whatsapp.com"}:
        return _dialled(_parameter(query, "phone"))
    if link.host == "chat.whatsapp.com" and first:
        return f"invite:{steps[-1]}"
    return f"link:{first}" if link.domain == "wa.link" and first else None


def _telegram(subdomain: str, steps: Sequence[str]) -> tuple[Kind, str] | None:
    first, *rest = (subdomain, *steps) if subdomain not in {"", "www"} else (*steps, "")
    if first.startswith("+"):
        return "telegram", f"invite:{first[1:]}"
    if first == "joinchat" and rest[0]:
        return "telegram", f"invite:{rest[0]}"
    name = rest[0] if first == "s" else first
    if name.lower() in _PAGES or not _TELEGRAM_NAME.fullmatch(name.lower()):
        return None
    return "telegram", name.lower()


def _line(steps: Sequence[str]) -> tuple[Kind, str] | None:
    if len(steps) <= 1:
        return None
    last = steps[-1]
    if "p" in steps[:-1]:
        return "line", last.lower().removeprefix("~")
    is_group = steps[-2].startswith("g")
    return ("line", f"invite:{last}") if is_group else None


def _deep(folded: Folded) -> Iterator[Contact]:
    """Yield whom the links of applications (`tg://`) lead to."""
    if "://" not in folded.text:
        return
    for match in _DEEP.finditer(folded.text, timeout=1.0):
        start, end = folded.span(*match.span())
        rest = folded.original[slice(*folded.span(*match.span("rest")))]
        query = rest.partition("?")[2]
        kind = _APP_KINDS[match["app"]]
        if kind == "line":
            found = _line(["", *rest.split("/")])
            value = found[1] if found else None
        elif invite := _parameter(query, "invite"):
            value = f"invite:{invite}"
        else:
            value = _dialled(_parameter(query, "phone")) or _parameter(query, "domain").lower()
        if value:
            yield Contact(kind, value, start, end)


def _handles(folded: Folded) -> Iterator[Contact]:
    """Yield the handles that stand beside an application's name."""
    if not _APPLICATION.search(folded.text):
        return
    for match in _HANDLE.finditer(folded.text, timeout=1.0):
        kind: Kind
        if match["telegram"]:
            kind, is_told = "telegram", match["at"] is not None
            is_likely = match["colon"] is not None
        elif match["line"]:
            kind, is_told, is_likely = "line", match["line_colon"] is not None, True
        else:
            kind, is_told, is_likely = "wechat", match["says_id"] is not None, True
        name = match[f"{kind}_id"]
        if is_told or (is_likely and _MADE_UP.search(name)):
            at = 1 if match["at"] else 0
            start, end = match.span(f"{kind}_id")
            yield Contact(kind, name, *folded.span(start - at, end))


def _named(before: str) -> Kind:
    """Tell by which application the number after some text is reached."""
    for kind, expression in _NAMED.items():
        if expression.search(before):
            return kind
    return "phone"


def _dialled(written: str) -> str | None:
    digits = written.removeprefix("+").replace(" ", "").replace("-", "")
    return dialled(digits) if digits.isdecimal() else None


def _parameter(query: str, name: str) -> str:
    values = parse_qs(query.partition("#")[0]).get(name)
    return values[0].strip() if values else ""
