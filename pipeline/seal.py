"""The seal: what verdicts quote of a text, put where only those who hold a key can read it.

Envelope encryption: every verdict has a data key of its own, and carries it wrapped by the master key (AES
Key Wrap, RFC 3394), so that whoever holds the master key can open one quotation for somebody without giving
it away. The quotation is encrypted by AES-SIV (RFC 5297), which is deterministic, under a data key derived
from the master key and the verdict's id (HKDF, RFC 5869): a verdict that is made again has the same bytes,
and the same words under two verdicts have nothing in common. It is bound to its verdict's id, so that it
cannot be moved to another.

What is sealed is all that quotes the text: the excerpt, and the findings' attributes (domains, handles and
numbers among them). Which terms matched, and where, stays.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from schemas import Verdict
from schemas.verdict import Quotation, Quoted, Sealed

MASTER_BYTES: Final = 32
_DATA_BYTES: Final = 64
"""Of AES-256-SIV, which is two keys."""
_INFO: Final = b"penjaga.quotation"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Quotation).decode


class SealError(ValueError):
    """A key that is none, or a quotation that no key at hand opens; the message quotes neither."""


class Seal:
    """One master key."""

    def __init__(self, key: str) -> None:
        """Take a key as `openssl rand -base64 32` writes it.

        Raises:
            SealError: if it is not 32 bytes in base64.
        """
        try:
            self._master = base64.b64decode(key.strip(), validate=True)
        except (binascii.Error, ValueError):
            self._master = b""
        if len(self._master) != MASTER_BYTES:
            raise SealError(
                f"expected {MASTER_BYTES} bytes in base64, as of `openssl rand -base64 {MASTER_BYTES}`"
            )
        self.name = hashlib.sha256(_INFO + self._master).hexdigest()[:16]
        """Says which key it is, and nothing of it."""

    def close(self, verdict_id: str, quotation: Quotation) -> Sealed:
        """Seal what the verdict of this id quotes."""
        bound = verdict_id.encode()
        derived = HKDFExpand(SHA512(), _DATA_BYTES, _INFO + bound).derive(self._master)
        return Sealed(
            key=self.name,
            data_key=aes_key_wrap(self._master, derived),
            content=AESSIV(derived).encrypt(_encode(quotation), [bound]),
        )

    def open(self, verdict_id: str, sealed: Sealed) -> Quotation:
        """Return what the verdict of this id quotes.

        Raises:
            SealError: if it was sealed with another key, for another verdict, or changed since.
        """
        try:
            derived = aes_key_unwrap(self._master, sealed.data_key)
            content = AESSIV(derived).decrypt(sealed.content, [verdict_id.encode()])
            return _decode(content)
        except (InvalidUnwrap, InvalidTag, ValueError) as error:
            raise SealError(
                f"the quotation of verdict {verdict_id} does not open with key {self.name}; it names key "
                f"{sealed.key}"
            ) from error


def quotation(verdict: Verdict) -> Quotation:
    """Return all that a verdict quotes of the text."""
    return Quotation(verdict.excerpt, tuple(finding.attributes for finding in verdict.findings))


def without_quotation(verdict: Verdict) -> Verdict:
    """Return a verdict that quotes nothing."""
    findings = tuple(msgspec.structs.replace(f, attributes={}) for f in verdict.findings)
    return msgspec.structs.replace(verdict, excerpt=None, findings=findings)


def quoting(verdict: Verdict, quoted: Quotation) -> Verdict:
    """Return the verdict with its quotation where it was.

    Raises:
        SealError: if the quotation is of other findings.
    """
    if len(quoted.attributes) != len(verdict.findings):
        raise SealError(f"the quotation is not that of verdict {verdict.id}")
    findings = tuple(
        msgspec.structs.replace(finding, attributes=attributes)
        for finding, attributes in zip(verdict.findings, quoted.attributes, strict=True)
    )
    return msgspec.structs.replace(verdict, excerpt=quoted.excerpt, findings=findings, sealed=None)


class Quoting(msgspec.Struct, frozen=True):
    """How verdicts quote: in clear or sealed, in themselves or on a topic of their own."""

    seal: Seal | None = None
    apart: bool = False

    def told(self, verdict: Verdict) -> tuple[Verdict, Quoted | None]:
        """Return the verdict as it is written, and what goes to the topic of quotations."""
        if self.seal is None and not self.apart:
            return verdict, None
        all_of_it = quotation(verdict)
        if all_of_it.excerpt is None and not any(all_of_it.attributes):
            return verdict, None
        silent = without_quotation(verdict)
        sealed = self.seal.close(verdict.id, all_of_it) if self.seal else None
        if self.apart:
            in_clear = None if sealed else all_of_it
            return silent, Quoted(id=verdict.id, quotation=in_clear, sealed=sealed)
        return msgspec.structs.replace(silent, sealed=sealed), None


IN_CLEAR: Final = Quoting()


def opened(line: bytes, seals: Sequence[Seal]) -> bytes:
    """Return a verdict, or a record of the topic of quotations, as JSON with what was sealed in it.

    What is not sealed comes back as it is.

    Raises:
        SealError: if no key opens it, or the line is neither.
    """
    try:
        kind = msgspec.json.decode(line, type=_Kind)
        if kind.sealed is None:
            return line
        if kind.findings is None:
            return _encode(Quoted(id=kind.id, quotation=_opened(kind.id, kind.sealed, seals)))
        verdict = msgspec.json.decode(line, type=Verdict)
    except msgspec.MsgspecError:
        raise SealError("expected a verdict, or a record of the quotations topic") from None
    return _encode(quoting(verdict, _opened(kind.id, kind.sealed, seals)))


def _opened(verdict_id: str, sealed: Sealed, seals: Sequence[Seal]) -> Quotation:
    for seal in seals:
        if seal.name == sealed.key:
            return seal.open(verdict_id, sealed)
    given = ", ".join(seal.name for seal in seals)
    raise SealError(f"verdict {verdict_id} was sealed with key {sealed.key}; given: {given}")


class _Kind(msgspec.Struct):
    """What tells a sealed verdict, a sealed record of the topic of quotations, and all else apart."""

    id: str = ""
    sealed: Sealed | None = None
    findings: Sequence[object] | None = None
