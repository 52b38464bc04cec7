"""A report as people, programs, spreadsheets and printers take it: text, json, csv, html. What others wrote is escaped.

Cells of a column that is `below` hold several values; people see them under their line.
"""

from __future__ import annotations

import csv
import io
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from pdp.audit.spreadsheet import guarded
from pdp.cli.terminal import emit_json, paint, printable

FORMATS: Final = ("text", "json", "csv", "html")
MOST: Final = 12
"""Values below a line that people see at first."""
MOST_ROWS: Final = 200
WIDTH: Final = 118

Cell = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    below: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """`empty`: what is said where there is no row; it must not look as if all were well."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    empty: str


@dataclass(frozen=True, slots=True)
class Sheet:
    title: str
    facts: Sequence[tuple[str, str]]
    grids: Sequence[Grid]
    data: Any
    notes: Sequence[str] = field(default_factory=tuple)


def columns(*titles: str) -> list[Column]:
    """A title that begins with `/` is of a column below."""
    return [Column(each.removeprefix("/"), each.startswith("/")) for each in titles]


def emit(sheet: Sheet, how: str, everything: bool = False) -> None:
    """Print it. `everything`: also what people would find too long."""
    match how:
        case "json":
            emit_json(sheet.data)
        case "csv":
            sys.stdout.write(as_csv(sheet))
        case "html":
            sys.stdout.write(as_html(sheet))
        case _:
            print(as_text(sheet, everything))


# --------------------------------------------------------------------------------------------------------------- text


def as_text(sheet: Sheet, everything: bool = False) -> str:
    colour = paint()
    lines = [colour("bold", printable(sheet.title))]
    width = max((len(name) for name, _ in sheet.facts), default=0)
    lines += [f"  {name:{width}}  {printable(value)}" for name, value in sheet.facts]
    for grid in sheet.grids:
        lines += ["", colour("bold", grid.title), *_grid(grid, everything)]
    if sheet.notes:
        lines += ["", *(printable(each) for each in sheet.notes)]
    return "\n".join(lines)


def _grid(grid: Grid, everything: bool) -> list[str]:
    if not grid.rows:
        return [f"  {printable(grid.empty)}"]
    beside = [at for at, column in enumerate(grid.columns) if not column.below]
    shown = [[_flat(row[at]) for at in beside] for row in grid.rows]
    titles = [grid.columns[at].title for at in beside]
    widths = [max(len(titles[at]), *(len(row[at]) for row in shown)) for at in range(len(beside))]
    lines = ["  " + "  ".join(f"{title:{width}}" for title, width in zip(titles, widths, strict=True)).rstrip()]
    for row, cells in list(zip(grid.rows, shown, strict=True))[: None if everything else MOST_ROWS]:
        lines.append("  " + "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())
        for column, cell in zip(grid.columns, row, strict=True):
            if column.below and (values := [printable(each) for each in _many(cell)]):
                lines += _under(column.title, values, everything)
    if len(shown) > MOST_ROWS and not everything:
        lines.append(f"  and {len(shown) - MOST_ROWS:,} more lines (--all, or --output json)")
    return lines


def _under(title: str, values: list[str], everything: bool) -> list[str]:
    if len(values) > MOST and not everything:
        values = [*values[:MOST], f"and {len(values) - MOST:,} more (--all, or --output json)"]
    said = f"{title}: {'; '.join(values)}"
    return textwrap.wrap(said, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 10, break_long_words=False)


def _many(cell: Cell) -> list[str]:
    found = [cell] if isinstance(cell, str) else list(cell)
    return [each for each in found if each]


def _flat(cell: Cell) -> str:
    return printable("; ".join(_many(cell)))


# ---------------------------------------------------------------------------------------------------------------- csv


def as_csv(sheet: Sheet) -> str:
    """RFC 4180, every cell quoted. Where there are several tables, the first column says which."""
    several = len(sheet.grids) > 1
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    for grid in sheet.grids:
        head = ["table"] if several else []
        writer.writerow([*head, *(guarded(column.title) for column in grid.columns)])
        for row in grid.rows:
            writer.writerow([*([grid.title] if several else []), *(guarded(_flat(cell)) for cell in row)])
    return file.getvalue()


# --------------------------------------------------------------------------------------------------------------- html

_STYLE: Final = """
body { font: 14px/1.4 sans-serif; margin: 2em; color: #111; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin-top: 1.6em; }
table { border-collapse: collapse; width: 100%; } th, td { border: 1px solid #999; padding: .25em .5em; }
th, td { text-align: left; vertical-align: top; overflow-wrap: anywhere; } thead { display: table-header-group; }
th { background: #eee; } tr { break-inside: avoid; } dl { display: grid; grid-template-columns: max-content auto; }
dt { font-weight: bold; padding-right: 1em; } dd { margin: 0; }
@media print { body { margin: 0; font-size: 9pt; } }
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def as_html(sheet: Sheet) -> str:
    """One page that loads nothing and runs nothing."""
    facts = "".join(f"<dt>{_html(name)}</dt><dd>{_html(value)}</dd>" for name, value in sheet.facts)
    notes = "".join(f"<p>{_html(each)}</p>" for each in sheet.notes)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{_html(sheet.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_html(sheet.title)}</h1>\n<dl>{facts}</dl>\n"
        f"{''.join(map(_html_grid, sheet.grids))}{notes}\n</body>\n</html>\n"
    )


def _html_grid(grid: Grid) -> str:
    if not grid.rows:
        return f"<h2>{_html(grid.title)}</h2>\n<p>{_html(grid.empty)}</p>\n"
    head = "".join(f"<th>{_html(column.title)}</th>" for column in grid.columns)
    body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>\n" for row in grid.rows)
    return f"<h2>{_html(grid.title)}</h2>\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def _cell(cell: Cell) -> str:
    return "<br>".join(_html(each) for each in _many(cell))


def _html(text: str) -> str:
    return escape(printable(text))
