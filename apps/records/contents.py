"""What a file really is, told by its bytes and not by its name: what acts, hides something or is not what it says is refused.

This is no virus scanner. It lets four kinds through that a reader can show, without scripts, attachments or a second file in them.
"""

import base64
import binascii
import re

import puremagic

from apps.kernel.problems import ValidationFailed
from apps.records.shapes import LARGEST_DOCUMENT

_STARTS = {"application/pdf": b"%PDF-", "image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
_ENDS = {
    "application/pdf": re.compile(rb"%%EOF\s*\Z"),
    "image/png": re.compile(rb"IEND\xaeB`\x82\Z"),
    "image/jpeg": re.compile(rb"\xff\xd9\Z"),
}
"""Nothing comes after the end: there a second file would hide."""
_EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
_MARKUP = re.compile(rb"<\s*(?:!doctype|html|head|body|script|svg|iframe|object|embed|\?php|\?xml)", re.IGNORECASE)
_ARCHIVE = (b"PK\x03\x04\x14", b"PK\x05\x06\x00\x00", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c")
_ACTING = re.compile(rb"/(?:JavaScript|JS|Launch|EmbeddedFiles?|RichMedia|SubmitForm|ImportData|XFA)\b")
_HEX_NAME = re.compile(rb"#([0-9A-Fa-f]{2})")
_TEXT_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_PROGRAM = (b"#!", b"MZ", b"%!PS", b"{\\rtf", b"@echo")
_ENOUGH = 4096


def checked(encoded: str, *, type_: str) -> bytes:
    """The bytes of a base64 text that are a harmless file of that type. Raises ValidationFailed."""
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValidationFailed("This is not base64.", param="content") from None
    if not 0 < len(content) <= LARGEST_DOCUMENT:
        raise ValidationFailed("A file has 1 byte to 5 MiB.", param="content")
    if fault := _fault(content, type_):
        raise ValidationFailed(fault, param="content")
    return content


def _fault(content: bytes, type_: str) -> str:
    if _EICAR in content:
        return "This file is the sign of a virus."
    if type_ == "text/plain":
        return _text_fault(content)
    if not content.startswith(_STARTS[type_]) or not _seen_as(content, type_):
        return "The file is not of the type that it says."
    if not _ENDS[type_].search(content[-64:]):
        return "The file does not end where its type ends."
    if _MARKUP.search(content if type_ != "application/pdf" else content[:_ENOUGH]) or any(sign in content for sign in _ARCHIVE):
        return "Another file hides in this one."
    if type_ == "application/pdf" and _ACTING.search(_HEX_NAME.sub(lambda found: bytes.fromhex(found[1].decode()), content)):
        return "A PDF with scripts or attachments is not taken."
    return ""


def _seen_as(content: bytes, type_: str) -> bool:
    try:
        return any(found.mime_type == type_ for found in puremagic.magic_string(content[:_ENOUGH] + content[-_ENOUGH:]))
    except (puremagic.PureError, ValueError):
        return False


def _text_fault(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "The text is not UTF-8."
    head = text.lstrip().encode()[:16]
    if _TEXT_CONTROL.search(text) or head.startswith((*_PROGRAM, *_STARTS.values())):
        return "The file is not of the type that it says."
    return "Markup and scripts are not taken." if _MARKUP.search(content) else ""
