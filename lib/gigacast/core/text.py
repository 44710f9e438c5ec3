r"""Text made safe to show: no control characters, no secrets.

Ids, keys, messages of servers and tracebacks come from outside. They may hold escape sequences that
move the cursor, rename the window or hide lines, and credentials that a log would keep. All text
to people passes through `printable`, all JSON through `printable_json`, and what is stored of
errors and settings through `blank_secrets`.
"""

import json
import re
from collections.abc import Callable

# C0 but the line feed, DEL and C1; marks that reverse the order of what is read (Unicode
# Technical Report 36); line separators; halves of a surrogate pair, which no stream can encode.
_MARKS = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_UNPRINTABLE = re.compile(f"[\x00-\x09\x0b-\x1f{_MARKS}]")
# JSON escapes C0 itself. Between two values only line feeds and spaces occur.
_UNPRINTABLE_IN_JSON = re.compile(f"[{_MARKS}]")

_USER = re.compile(
    # A password may hold what ends a host's name, unless digits before it are a port. Bounded: the
    # text may be hostile, and each address in it is looked at.
    r"(\b[a-z][a-z0-9+.-]*:(?:\\?/){2})(?:[^/\s?#\"'<>\\]+"
    r"|(?!arn:)[^/\s?#\"'<>\\:@]{0,300}:(?!\d+(?:[/?#]|$))[^\s\"'<>\\]{1,300})@",
    re.IGNORECASE,
)
_HEADER = re.compile(
    # In the text of an object a line break is a backslash and an n.
    r"((?:\b|(?<=\\n)|(?<=\\r))(?:(?:proxy-)?authorization|x-amz-security-token|(?:x-)?api-key"
    r"|(?:set-)?cookie|[a-z-]+-customer-key)[\\\"']*[ \t]*[:=][ \t]*(?:b(?=[\\\"']))?[\\\"']*)"
    r"[^\r\n\\\"'<>{}&]+",
    re.IGNORECASE,
)
# A value alone, as libraries quote one that no header may have.
_TOKEN = re.compile(r"([\"'](?:Bearer|Basic) )[^\"']+")
_NAMED = (
    r"aws_secret_access_key|aws_session_token|SecretAccessKey|SessionToken|AccountKey"
    r"|SharedAccessKey"
)
_QUERY = re.compile(
    r"((?:[?&](?:\w*(?:token|secret|password|passwd|api_?key|signature)|sig|AWSAccessKeyId)"
    r"|X-Amz-(?:Signature|Credential|Security-Token))\s*=\s*"
    rf"|\b(?:{_NAMED})[\\\"']*\s*[:=>]\s*[\\\"']*)[^&\s\"'<>\\;]+",
    re.IGNORECASE,
)


def printable(text: str) -> str:
    r"""Return a text without control characters and secrets: a tab as a space, others as ``\x1b``.

    Line feeds stay.
    """
    return _UNPRINTABLE.sub(_visible, blank_secrets(text.replace("\r\n", "\n")))


def is_unprintable(text: str) -> bool:
    """Return whether a text has control characters."""
    return _UNPRINTABLE.search(text) is not None


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code == ord("\t"):
        return " "
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable_json(
    value: object,
    *,
    indent: int | None = None,
    is_ascii: bool = False,
    default: Callable[[object], object] | None = None,
) -> str:
    """Return a value as JSON that is safe to show: the same value, in escapes, without secrets.

    Parameters
    ----------
    value : object
    indent : int, optional
        Spaces of a level; one line by default.
    is_ascii : bool
        Whether all characters beyond ASCII are escaped.
    default : callable, optional
        Function that makes a JSON value from one of another type.
    """
    text = json.dumps(
        blank_secrets_in(value), indent=indent, ensure_ascii=is_ascii, default=default
    )
    return _UNPRINTABLE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def blank_secrets_in(value: object) -> object:
    """Return JSON values with the credentials blanked in every text."""
    # Text by text: in the JSON as a whole a column called `cookie` would look like a header.
    if isinstance(value, str):
        return blank_secrets(value) if type(value) is str else value
    if isinstance(value, dict):
        return {name: blank_secrets_in(content) for name, content in value.items()}
    if isinstance(value, list | tuple):
        return [blank_secrets_in(item) for item in value]
    return value


def blank_secrets(text: str) -> str:
    """Return a text with credentials blanked: in URLs, in headers and in query parameters."""
    # Nearly all text has none of these characters, and four searches cost more than four looks.
    if "@" in text and ":" in text:
        text = _USER.sub(r"\1***@", text)
    if ":" in text or "=" in text:
        text = _HEADER.sub(r"\1***", text)
    if "Bearer" in text or "Basic" in text:
        text = _TOKEN.sub(r"\1***", text)
    is_named = "=" in text or ":" in text or ">" in text
    return _QUERY.sub(r"\1***", text) if is_named else text
