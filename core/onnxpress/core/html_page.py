"""A page of one file, for reports to look at: no script, nothing fetched; light and dark, narrow and wide."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_STYLE = """
:root { color-scheme: light dark; --text: #16222b; --soft: #5a6872; --paper: #fff; --line: #d9e0e5; --box: #f3f6f8;
  --good: #2e7d43; --bad: #b3352f; --bar: #2a78b5; --shade: #0004; }
@media (prefers-color-scheme: dark) { :root { --text: #e4eaee; --soft: #9aa8b2; --paper: #14191d; --line: #323c44;
  --box: #1d242a; --good: #6cc482; --bad: #f0837c; --bar: #62aee6; --shade: #000; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 60rem; background: var(--paper); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; max-width: 46rem; } .soft { color: var(--soft); } .good { color: var(--good); }
.bad { color: var(--bad); } code { overflow-wrap: anywhere; } td code { white-space: nowrap; }
.scroll { overflow-x: auto;
  background: linear-gradient(to right, var(--paper) 40%, transparent) 0 0 / 2.5rem 100% local,
  linear-gradient(to left, var(--paper) 40%, transparent) 100% 0 / 2.5rem 100% local,
  linear-gradient(to right, var(--shade), transparent) 0 0 / .8rem 100% scroll,
  linear-gradient(to left, var(--shade), transparent) 100% 0 / .8rem 100% scroll; background-repeat: no-repeat; }
.scroll:focus-visible { outline: 3px solid var(--bar); outline-offset: 2px; } table { border-collapse: collapse; }
th, td { text-align: left; border-bottom: 1px solid var(--line); } th { font-weight: 600; color: var(--soft); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
"""


def scrolling(label: str) -> str:
    """The start of a box for a table that may be wider than the page: it shows where more is, and keys move it.

    >>> scrolling("Outputs")
    '<div class="scroll" tabindex="0" role="region" aria-label="Outputs">'
    """
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'


def page(title: str, heading: str, body: Iterable[str], *, style: str = "") -> str:
    """The whole text. `body` is HTML, `title` and `heading` are text; `style` is put after what all pages have.

    >>> page("a < b", "Figures", ["<p>none</p>"]).splitlines()[-3:]
    ['<main><h1>Figures</h1>', '<p>none</p>', '</main></body></html>']
    """
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}{style.lstrip()}</style></head><body>",
            f"<main><h1>{escape(heading)}</h1>",
            *body,
            "</main></body></html>",
            "",
        ]
    )
