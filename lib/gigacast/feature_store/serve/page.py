"""The page at ``/``: one HTML file without external resources, which reads ``/config``."""

import base64
import hashlib
import re
from importlib.resources import files

PAGE: bytes = (files(__package__) / "page.html").read_bytes()
"""Content of the page. It holds no data: its script writes them as texts, never as HTML."""


def _hashes(tag: str) -> str:
    texts = re.findall(rb"<%b>(.*?)</%b>" % (tag.encode(), tag.encode()), PAGE, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in texts]
    return " ".join(f"'sha256-{digest}'" for digest in digests)


PAGE_POLICY = (
    f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy: only the page's own script and style, by their digests."""
