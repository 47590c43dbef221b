"""Self-contained HTML pages: no script, no external address, pictures inside."""

import base64
import html
from collections.abc import Iterable, Sequence

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem;
  padding: 0 1.5rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; }
table { display: block; margin: 1rem 0; overflow-x: auto; border-collapse: collapse;
  font-size: 0.92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.3rem; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid #ddd; text-align: left;
  white-space: nowrap; }
img { max-width: 100%; }
"""


def html_page(title: str, body: str, style: str = "") -> str:
    """Return a whole page.

    Args:
        title: Title as plain text.
        body: HTML.
        style: CSS in addition to that of all pages.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def picture_address(content: bytes, kind: str = "png") -> str:
    """Return the address of a picture that holds the picture itself."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def html_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", bold: str = ""
) -> str:
    """Return a table of plain texts; all columns but the first are numbers.

    Args:
        headings: One per column.
        rows: One text per column.
        caption: Title.
        bold: First text of rows in bold.
    """
    lines = ["<table>"]
    if caption:
        lines.append(f"<caption>{html.escape(caption)}</caption>")
    lines.append(f"<thead><tr>{_cells('th', headings)}</tr></thead><tbody>")
    for row in rows:
        start = '<tr style="font-weight: 600">' if row[0] == bold else "<tr>"
        lines.append(f"{start}{_cells('td', row)}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _cells(tag: str, texts: Sequence[str]) -> str:
    right = f'<{tag} style="text-align: right">'
    return "".join(
        f"{right if number else f'<{tag}>'}{html.escape(text)}</{tag}>"
        for number, text in enumerate(texts)
    )
