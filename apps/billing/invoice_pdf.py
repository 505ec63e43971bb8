"""An invoice on paper (Letter): drawn anew each time it is asked for, and the same bytes each time. Pure but for the fonts.

The fonts have Latin, Greek and Cyrillic letters. What they lack is drawn as U+FFFD; the patient's reference stands below the name,
so that an invoice says whose it is in any script.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import cast

from fpdf import FPDF
from fpdf.enums import TableBordersLayout, VAlign, XPos, YPos
from fpdf.fonts import FontFace, TTFFont

_FONTS = Path(__file__).parent / "fonts"
_INK, _GREY, _RULE, _ACCENT, _SHADE = (26, 32, 44), (100, 112, 128), (214, 219, 226), (15, 98, 124), (243, 246, 249)
_MARGIN, _LONGEST = 18, 300
_MISSING = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Line:
    on: date
    text: str
    code: str
    amount: str


@dataclass(frozen=True, slots=True)
class Invoice:
    """All that is drawn, as text: amounts are formatted, addresses come line by line. `stamp` is PAID, VOID, or empty."""

    number: str
    issued: datetime
    due: date
    stamp: str
    clinic: str
    clinic_lines: Sequence[str]
    patient: str
    patient_lines: Sequence[str]
    reference: str
    """The patient's id: what is read out when the name cannot be."""
    lines: Sequence[Line]
    total: str
    paid: str
    balance: str
    note: str


class _Page(FPDF):
    def __init__(self, invoice: Invoice) -> None:
        super().__init__(format="letter")
        self._invoice = invoice
        self.set_margins(_MARGIN, _MARGIN, _MARGIN)
        self.set_auto_page_break(auto=True, margin=24)
        for style, file in (("", "NotoSans-Regular.ttf"), ("B", "NotoSans-Bold.ttf")):
            self.add_font("Noto", style, _FONTS / file)
        self._drawable = frozenset(cast(TTFFont, self.fonts["noto"]).cmap)
        self.set_creation_date(invoice.issued)
        self.set_lang("en-US")
        # The title leaves the house in file lists and search engines: a number, never a name.
        self.set_title(f"Invoice {invoice.number}")

    def footer(self) -> None:
        self.set_y(-16)
        self.ink(8, _GREY)
        self.cell(self.epw / 2, 5, self.drawable(f"{self._invoice.clinic}  ·  Invoice {self._invoice.number}"))
        self.cell(self.epw / 2, 5, f"Page {self.page_no()} of {{nb}}", align="R")

    def ink(self, size: float, colour: tuple[int, int, int] = _INK, *, bold: bool = False) -> None:
        self.set_font("Noto", "B" if bold else "", size)
        self.set_text_color(*colour)

    def drawable(self, text: str) -> str:
        """One line of text that the font can draw, and no longer than a page."""
        composed = unicodedata.normalize("NFC", " ".join(text.split()))[:_LONGEST]
        return "".join(c if ord(c) in self._drawable else _MISSING for c in composed)

    def row(self, text: str, height: float = 4.6, *, width: float = 0, align: str = "L") -> None:
        self.cell(width, height, self.fitting(text, width or self.epw), align=align, new_x=XPos.LEFT, new_y=YPos.NEXT)

    def fitting(self, text: str, width: float) -> str:
        """As much of the text as fits in `width` mm."""
        drawn = self.drawable(text)
        if self.get_string_width(drawn) <= width - 2:
            return drawn
        while drawn and self.get_string_width(drawn + "…") > width - 2:
            drawn = drawn[:-1]
        return drawn + "…"


def render(invoice: Invoice) -> bytes:
    """The PDF. The same invoice gives the same bytes."""
    page = _Page(invoice)
    page.add_page()
    _head(page, invoice)
    _parties(page, invoice)
    _table(page, invoice)
    _sums(page, invoice)
    if invoice.note:
        page.ln(10)
        page.ink(9, _GREY)
        page.multi_cell(0, 4.6, page.drawable(invoice.note))
    return bytes(page.output())


def _head(page: _Page, invoice: Invoice) -> None:
    top, half = page.t_margin, page.epw / 2
    page.set_xy(page.l_margin, top)
    page.ink(14, bold=True)
    page.row(invoice.clinic, 7, width=half)
    page.ink(9, _GREY)
    for text in invoice.clinic_lines:
        page.row(text, width=half)
    bottom = page.get_y()
    page.set_xy(page.l_margin + half, top)
    page.ink(22, _ACCENT, bold=True)
    page.row("Invoice", 9, width=half, align="R")
    page.ink(10, bold=True)
    page.row(f"No. {invoice.number}", 5.5, width=half, align="R")
    if invoice.stamp:
        page.ink(10, _ACCENT, bold=True)
        page.row(invoice.stamp, 5.5, width=half, align="R")
    page.set_xy(page.l_margin, max(bottom, page.get_y()) + 5)
    page.set_draw_color(*_RULE)
    page.line(page.l_margin, page.get_y(), page.l_margin + page.epw, page.get_y())
    page.ln(7)


def _parties(page: _Page, invoice: Invoice) -> None:
    top, half = page.get_y(), page.epw / 2
    page.ink(8, _GREY)
    page.row("Billed to", width=half)
    page.ink(11, bold=True)
    page.row(invoice.patient, 5.8, width=half)
    page.ink(9)
    for text in (*invoice.patient_lines, f"Reference {invoice.reference}"):
        page.row(text, width=half)
    bottom = page.get_y()
    page.set_xy(page.l_margin + half, top)
    facts = (("Issued", _day(invoice.issued)), ("Due", _day(invoice.due)), ("Balance due", invoice.balance))
    for name, value in facts:
        page.set_x(page.l_margin + half)
        page.ink(9, _GREY)
        page.cell(half - 36, 5.4, name, align="R")
        page.ink(9, bold=name.startswith("Balance"))
        page.cell(36, 5.4, value, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    page.set_xy(page.l_margin, max(bottom, page.get_y()) + 9)


def _table(page: _Page, invoice: Invoice) -> None:
    page.ink(9)
    page.set_draw_color(*_RULE)
    heading = FontFace(family="Noto", emphasis="BOLD", color=_GREY, size_pt=8, fill_color=_SHADE)
    with page.table(
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        col_widths=(26, 92, 28, 30),
        text_align=("LEFT", "LEFT", "LEFT", "RIGHT"),
        v_align=VAlign.T,
        headings_style=heading,
        line_height=5,
        padding=(1.6, 2),
    ) as table:
        table.row(("Date", "Service", "Code", "Amount"))
        for line in invoice.lines:
            table.row((_day(line.on), page.drawable(line.text), page.drawable(line.code), line.amount))


def _sums(page: _Page, invoice: Invoice) -> None:
    if page.will_page_break(30):
        page.add_page()
    page.ln(3)
    for name, value, strong in (
        ("Total", invoice.total, False),
        ("Paid", invoice.paid, False),
        ("Balance due", invoice.balance, True),
    ):
        page.ink(11 if strong else 9.5, bold=strong)
        height = 7.5 if strong else 6
        page.cell(page.epw - 40, height, name, align="R")
        page.cell(38, height, value, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _day(on: date) -> str:
    return f"{on:%b} {on.day}, {on.year}"
