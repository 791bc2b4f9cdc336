"""What every page that Rep3D writes has in common: one HTML file for a browser without a network."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from rep3d import __version__

STYLE = """
:root { color-scheme: dark; }
* { box-sizing: border-box; }
body { margin: 0; background: #101418; color: #e8edf2; font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 36px 24px 64px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 6px; }
h2 { font-size: 1.15rem; margin: 44px 0 12px; }
p { margin: 8px 0; }
.quiet { color: #93a1ad; }
.note { display: inline-block; margin: 14px 8px 0 0; padding: 5px 12px; border-radius: 6px; font-size: .9rem;
  background: #33280f; color: #ffcf8a; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 12px; margin-top: 24px; }
.facts div { background: #181e24; border-radius: 8px; padding: 12px 16px; min-width: 0; }
.facts b { display: block; font-size: 1.05rem; font-weight: 600; overflow-wrap: anywhere; }
.facts span { color: #93a1ad; font-size: .85rem; }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 8px; border: 1px solid #232b33; }
figcaption { color: #93a1ad; font-size: .92rem; margin-top: 8px; max-width: 75ch; }
figure + figure, figure + .scroll { margin-top: 22px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; max-width: 760px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 12px; border-bottom: 1px solid #232b33; white-space: nowrap; }
th { color: #93a1ad; font-weight: 500; font-size: .88rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tfoot td { border-bottom: 0; font-weight: 600; }
.chip { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 10px; }
.bar { display: inline-block; width: 90px; height: 6px; border-radius: 3px; background: #232b33; margin-right: 10px;
  vertical-align: middle; }
.bar i { display: block; height: 100%; border-radius: 3px; background: #4cc2ff; }
code { background: #181e24; border-radius: 4px; padding: 1px 6px; font-size: .9em; overflow-wrap: anywhere; }
a { color: #4cc2ff; }
ul { padding-left: 20px; }
footer { margin-top: 52px; padding-top: 16px; border-top: 1px solid #232b33; color: #93a1ad; font-size: .88rem; }
@media (max-width: 640px) { main { padding: 24px 14px 40px; } h1 { font-size: 1.5rem; } .bar { display: none; }
  th, td { padding: 6px 8px; } }
"""


def document(title: str, body: str) -> str:
    """A whole page around ``body``. Nothing in it is loaded from elsewhere."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
<footer>Made by Rep3D {escape(__version__)}. Research software, not a medical device.</footer>
</main>
</body>
</html>
"""


def escape(text: object) -> str:
    """Any text for use in HTML, in attributes as well."""
    return html.escape(str(text), quote=True)


def embedded(path: Path) -> str:
    """A PNG or GIF as a data URL, to be put into the page."""
    kind = path.suffix.lower().lstrip(".")
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def fact_tiles(facts: Sequence[tuple[str, str]]) -> str:
    """Short facts in tiles, each (value, what it is)."""
    tiles = "".join(f"<div><b>{escape(a)}</b><span>{escape(b)}</span></div>" for a, b in facts)
    return f'<div class="facts">{tiles}</div>'


def notes(texts: Sequence[str]) -> str:
    """Sentences that must not be overlooked."""
    return "".join(f'<p class="note">{escape(text)}</p>' for text in texts)


def bar(share: float) -> str:
    """A quantity between 0 and 1 as a bar."""
    return f'<span class="bar"><i style="width:{100 * min(max(share, 0), 1):.0f}%"></i></span>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[str] = ()) -> str:
    """A table whose cells are HTML already."""
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    last = "<tfoot><tr>" + "".join(f"<td>{cell}</td>" for cell in foot) + "</tr></tfoot>" if foot else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>{last}</table></div>\n'
