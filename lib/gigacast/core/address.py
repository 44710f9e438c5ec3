"""Addresses of servers: checked before a client reads them, and shown without their credentials.

Clients end in faults of their own on addresses that are none: a port beyond 65535, a password with
a slash in it. And what is no URL may hold a password all the same.
"""

import re
from urllib.parse import urlsplit

HTTP_HINT = "write http://host:port or https://host; in a password / is %2F, @ is %40, ? is %3F"
"""What to do about an address that is none."""

# What no URL holds: spaces, control characters, quotes and brackets.
_FOREIGN = re.compile(r"[\x00-\x20\x7f-\xa0\"'<>\\^`{|}]")
_USER = re.compile(r"^((?:[a-z][a-z0-9+.-]*:)?/*).*@", re.IGNORECASE | re.DOTALL)


def is_http_address(url: str) -> bool:
    """Return whether a text is the address of a server of HTTP, as ``http://host:port/path``."""
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        return False
    is_plain = not (_FOREIGN.search(url) or parts.query or parts.fragment or "@" in parts.path)
    return parts.scheme in {"http", "https"} and has_place and is_plain


def without_credentials(address: str) -> str:
    """Return an address without what precedes its last ``@``, whether it is a URL or not."""
    return _USER.sub(r"\1***@", address)
