"""A document as one HTML file: no script, no network, light and dark, print, any width."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from gigacast.report.document import Document, Tone
from gigacast.report.html.block import links_of, render_sections, sections_of
from gigacast.report.html.chart import text
from gigacast.report.plot.palette import DARK, LIGHT, Palette

_MOST_JUMPS = 12


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around a document on its page.

    Parameters
    ----------
    kind : str
        Kind of the document, as ``Forecast run``.
    status : str
        A word for how it ended, in the colour of the document's title; none by default.
    subtitle : str
        A line below the title: when and how long.
    has_siblings : bool
        Whether the page links the index and the latest report beside it.
    """

    kind: str
    status: str = ""
    subtitle: str = ""
    has_siblings: bool = True


def render_page(document: Document, frame: Frame) -> str:
    """Return a document as a page.

    Its policy allows the style in it, by digest, and nothing else: were a text not escaped, it
    still could neither run nor load anything.
    """
    style = page_style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{text(document.title or frame.kind)}</title><style>{style}</style></head>"
    )
    return f"{head}<body>{_body(document, frame)}</body></html>\n"


def _body(document: Document, frame: Frame) -> str:
    sections = sections_of(document)
    jumps = "".join(
        f'<li><a href="#s{number}">{text(title)}</a></li>'
        for number, title in links_of(sections)[:_MOST_JUMPS]
    )
    contents = f'<nav class="jumps" aria-label="Sections"><ul>{jumps}</ul></nav>' if jumps else ""
    siblings = (
        '<nav aria-label="Reports"><a href="latest.html">Latest</a> '
        '<a href="index.html">All reports</a></nav>'
        if frame.has_siblings
        else ""
    )
    return (
        '<a class="skip" href="#main">Skip to the report</a>'
        f'<header><span class="brand">{_MARK}Gigacast</span>{siblings}</header>'
        f'<main id="main"><div class="title"><p class="kind">{text(frame.kind)}</p>'
        f"<h1>{text(document.title or frame.kind)}</h1>{_status(document.tone, frame)}</div>"
        f'{contents}<div class="sections">{render_sections(document)}</div></main>'
    )


def _status(tone: Tone, frame: Frame) -> str:
    status = f'<span class="status {tone}">{text(frame.status)}</span>' if frame.status else ""
    return f'<p class="subtitle">{status}{text(frame.subtitle)}</p>'


_MARK = (
    '<svg class="mark" aria-hidden="true" viewBox="0 0 24 24">'
    '<path class="band b1" d="M12 13L22 3v12z"/>'
    '<path class="history" d="M2 18l4-5 3 3 3-3"/><path class="forecast" d="M12 13l10-4"/></svg>'
)


@cache
def page_style() -> str:
    """Return the style of all pages, with the colours of the pictures."""
    style = (files(__package__) / "style.css").read_text(encoding="utf-8")
    return (
        f":root{{{_variables(LIGHT)}--tint:1}}"
        "@media screen and (prefers-color-scheme:dark)"
        f"{{:root{{{_variables(DARK)}--tint:1.7}}}}{style}"
    )


def _variables(palette: Palette) -> str:
    names = ("ground", "raised", "ink", "muted", "line", "history", "forecast", "actual")
    pairs = [(name, getattr(palette, name)) for name in (*names, "good", "warning", "bad")]
    pairs += [(f"c{number}", colour) for number, colour in enumerate(palette.compared)]
    return "".join(f"--{name}:{colour};" for name, colour in pairs)
