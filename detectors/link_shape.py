"""What is odd about a link apart from the name it imitates."""

import ipaddress
from collections.abc import Iterator
from typing import Final

import regex

from detectors.links import Link

ODD_SUFFIXES: Final = frozenset(
    "xyz top vip icu cyou sbs cfd click buzz rest quest bond lol monster cc tk ml ga cf gq pw ws "
    "cam work support help live online site store shop club fun win bid loan men review stream "
    "date racing party download zip mov life world today guru autos beauty hair skin makeup "
    "yachts boats homes motorcycles ru su info ink wang ltd link finance money cash digital "
    "services center rocks asia one lat ist xin net.ru org.ru com.ru ru.com pp.ru pp.ua sa.com za.com "
    "in.net gb.net com.de za.net us.com co.com it.com uk.com cn.com cm om".split(),
)
"""Suffixes cheap enough to throw away after a day, or a slip away from `com`; honest sites use them too."""
_SHORTENERS: Final = frozenset(
    "bit.ly bit.do tinyurl.com cutt.ly is.gd v.gd rb.gy ow.ly shorturl.at shorturl.asia t.ly s.id "
    "rebrand.ly tiny.cc adf.ly buff.ly qr.ae soo.gd clck.ru u.to t2m.io short.gy linktr.ee bl.ink "
    "tny.im x.co qrco.de urlzs.com n9.cl surl.li acesse.one dub.sh tinyurl.ee reurl.cc goo.gl "
    "shorturl.gg urlz.fr shrtco.de l.ead.me me-qr.com qr.codes tinu.be zpr.io inx.lv clc.to".split(),
)
_FREE_HOSTING: Final = frozenset(
    "000webhostapp.com 16mb.com 5gbfree.com altervista.org atwebpages.com beget.tech cprapid.com epizy.com "
    "firebaseapp.com fly.dev framer.ai framer.app framer.website freeasphost.net getforge.io gitbook.io "
    "glitch.me godaddysites.com great-site.net herokuapp.com infinityfreeapp.com jimdofree.com jimdosite.com "
    "myfreesites.net mystrikingly.com netlify.app ngrok-free.app ngrok.io on-fleek.app onrender.com "
    "pages.dev plesk.page r2.dev repl.co replit.app rf.gd square.site surge.sh trycloudflare.com "
    "typedream.app ukit.me umbler.net vercel.app web.app webcindario.com webflow.io webnode.com webs.com "
    "weebly.com weeblysite.com wixsite.com wixstudio.com workers.dev yi.org yolasite.com".split(),
)
_DYNAMIC: Final = frozenset(
    "3utilities.com ath.cx bounceme.net chickenkiller.com ddns.net dnsalias.com duckdns.org dyndns.info "
    "dyndns.org dynu.net dynv6.net freeddns.org freedynamicdns.org giize.com gleeze.com gotdns.ch "
    "homeftp.org homeip.net homelinux.net homelinux.org homeunix.com hopto.org kozow.com mooo.com "
    "myddns.me myftp.biz myftp.org myvnc.com no-ip.biz no-ip.info no-ip.org noip.me ooguy.com "
    "redirectme.net serveblog.net servebeer.com serveftp.com servegame.com servehttp.com serveirc.com "
    "servemp3.com sytes.net theworkpc.com webhop.me webredirect.org zapto.org".split(),
)
_BLOGS: Final = frozenset({"blogspot", "wordpress", "github", "gitlab", "readthedocs", "tumblr"})
"""Hosting services, by the first label of their suffix, that are mostly people's own writing and code."""
_INFRASTRUCTURE: Final = frozenset(
    "freedesktop debian akamai akamaihd githubusercontent tuxfamily fedorapeople fedorainfracloud "
    "ruhr-uni-bochum uni-siegen githubpreview googleapis cloudfront eu".split(),
)
"""In the public-suffix list for reasons of their own, and given to nobody who asks."""

SERVICE: Final = regex.compile(
    r"log-?[io]n|sign-?in|signon|logon|verif|secur|accounts?(?![a-z])|akaun|update|unlock|recover|"
    r"wallet|dompet|auth|\bsso\b|\botp\b|\btac\b|\bkyc\b|claim|klaim|tuntut|tebus|reward|ganjaran|bonus|hadiah|"
    r"refund|redeem|suspen|confirm|konfirm|sahkan|support|helpdesk|bantuan|semak|(?<![a-z])ebank|banking|"
    r"(?<![a-z])pay(?:ment)?(?![a-z])|bayar|billing|invoice|track|parcel|deliver|customs|kemaskini|"
    r"permohonan|portal|promo|gift|airdrop|connect|customer|undian|denglu|yanzheng|lingqu|qianbao",
)
_APP_FILE: Final = regex.compile(r"\.x?apk(?:$|[?#/&])")
_DOUBLE: Final = regex.compile(
    r"\.(?:pdf|docx?|xlsx?|jpe?g|png|txt|mp4|invoice|resit)\.(?:apk|exe|scr|zip|rar|7z|msi|bat|js|vbs|html?)"
    r"(?:$|[?#/&])"
)
_PROGRAM_FILE: Final = regex.compile(r"\.(?:exe|scr|msi|bat|cmd|vbs|hta|jar)(?:$|[?#])")
_ARCHIVE_FILE: Final = regex.compile(r"\.(?:zip|rar|7z|iso)(?:$|[?#])")
_CONSONANTS: Final = regex.compile("[bcdfghjklmnpqrstvwxz]{5}")
_SWITCHES: Final = regex.compile(r"[a-z]\d|\d[a-z]")
_SHORTEST_RANDOM: Final = 9
_MANY_SWITCHES: Final = 4
_MANY_HYPHENS: Final = 3
_MANY_SUBDOMAINS: Final = 3
_PATH_READ: Final = 200


def is_restricted(suffix: str) -> bool:
    """Tell whether only a government, a university or an army can register under a suffix."""
    return suffix.split(".", 1)[0] in {"gov", "edu", "ac", "mil", "int"} and suffix != "ac"


def is_shortener(link: Link) -> bool:
    """Tell whether a link only leads on to another."""
    return link.domain in _SHORTENERS


def is_private(link: Link) -> bool:
    """Tell whether a link is an address that only means something in its own network."""
    return link.is_ip and not ipaddress.ip_address(link.host).is_global


def shape(link: Link, imitated: str, written: str) -> Iterator[str]:
    """Yield the terms of what is odd about a link.

    `imitated` is the name it imitates, which is odd by itself; `written` is the link as it stands in the
    text, folded, or empty.
    """
    if link.user:
        yield "link.user_before_host"
    if link.is_ip:
        yield "link.address"
        if written and link.host not in written:
            yield "link.odd_address"
    if link.via:
        yield "link.redirected"
    yield from _download(link.path)
    if not link.is_ip:
        yield from _place(link)
        yield from _labels(link)
    host = link.looks.replace(imitated, " ") if imitated else link.looks
    if SERVICE.search(host) or SERVICE.search(link.path[:_PATH_READ]):
        yield "link.service_word"


def _download(path: str) -> Iterator[str]:
    if _APP_FILE.search(path):
        yield "link.app_file"
    if _DOUBLE.search(path):
        yield "link.double_extension"
    elif _PROGRAM_FILE.search(path):
        yield "link.program_file"
    elif _ARCHIVE_FILE.search(path):
        yield "link.archive_file"


def _place(link: Link) -> Iterator[str]:
    """Say where the host lies."""
    if is_shortener(link):
        yield "link.shortened"
    elif link.suffix in _FREE_HOSTING:
        yield "link.free_hosting"
    elif link.suffix in _DYNAMIC:
        yield "link.dynamic_name"
    elif link.suffix in ODD_SUFFIXES:
        yield "link.odd_suffix"
    elif link.is_hosted and link.suffix.split(".", 1)[0] not in _BLOGS | _INFRASTRUCTURE:
        yield "link.hosted"


def _labels(link: Link) -> Iterator[str]:
    """Say what is odd about the labels of a host."""
    around = [label for label in link.subdomain.split(".") if label and label != "www"]
    labels = [link.name, *around]
    if any(label.count("-") >= _MANY_HYPHENS for label in labels):
        yield "link.many_hyphens"
    if len(around) >= _MANY_SUBDOMAINS:
        yield "link.many_subdomains"
    if any(_is_random(label) for label in labels):
        yield "link.random_label"
    if any(_is_mixed(label) for label in link.host.split(".")):
        yield "link.foreign_script"


def _is_random(label: str) -> bool:
    """Tell whether a label looks drawn by lot: letters no tongue says, or digits strewn in."""
    if len(label) < _SHORTEST_RANDOM:
        return False
    return len(_SWITCHES.findall(label, overlapped=True)) >= _MANY_SWITCHES or bool(
        _CONSONANTS.search(label) and not any(vowel in label for vowel in "aeiou")
    )


def _is_mixed(label: str) -> bool:
    """Tell whether a label has both letters of ASCII and letters of another script."""
    has_plain = any(c.isascii() and c.isalpha() for c in label)
    return has_plain and any(not c.isascii() and _FOREIGN.fullmatch(c) for c in label)


_FOREIGN: Final = regex.compile(r"[\p{L}--\p{Latin}]", regex.V1)
