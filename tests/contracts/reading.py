"""Read what a result prints, and write numbers a second time, by other means than the package."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from html.parser import HTMLParser
from math import isinf, isnan

DIGITS = 3


def number(value, digits=DIGITS):
    """Write a number to three significant digits, by decimal arithmetic."""
    value = float(value)
    if isnan(value):
        return "-"
    if isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    exact = Decimal(value)
    exponent = exact.adjusted()
    if -4 <= exponent < 6:
        step = Decimal(1).scaleb(min(exponent - digits + 1, 0))
        return f"{exact.quantize(step, ROUND_HALF_EVEN):f}"
    mantissa = exact.scaleb(-exponent).quantize(Decimal(1).scaleb(1 - digits), ROUND_HALF_EVEN)
    if abs(mantissa) >= 10:
        mantissa, exponent = (mantissa / 10).quantize(Decimal(1).scaleb(1 - digits)), exponent + 1
    return f"{mantissa:f}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def quantity(value, lower=None, upper=None, unit="1"):
    """Write a value, its interval where both ends are known, and its unit."""
    parts = [number(value)]
    if lower is not None and not isnan(lower) and not isnan(upper):
        parts.append("[" + number(lower) + ", " + number(upper) + "]")
    if unit not in ("1", ""):
        parts.append(unit)
    return " ".join(parts)


@dataclass
class Printed:
    """What stands in a printed table."""

    title: str
    head: list
    columns: list
    rows: list
    notes: list

    def column(self, name):
        """The cells under a heading that stands once."""
        assert self.columns.count(name) == 1, f"{name!r} is not one of {self.columns}"
        return [row[self.columns.index(name)] for row in self.rows]


def read_text(text):
    """Take a printed table apart: the rule of dashes says where the columns are."""
    lines = text.split("\n")
    rule = next(k for k, line in enumerate(lines) if line and set(line) <= {"-", " "})
    starts = [
        k for k, c in enumerate(lines[rule]) if c == "-" and (k == 0 or lines[rule][k - 1] == " ")
    ]
    ends = [*starts[1:], None]

    def cells(line):
        return [line[a:b].strip() for a, b in zip(starts, ends, strict=True)]

    assert lines[rule - 2] == "", "a blank line parts the head from the table"
    stop = next((k for k in range(rule + 1, len(lines)) if lines[k] == ""), len(lines))
    return Printed(
        title=lines[0],
        head=lines[1 : rule - 2],
        columns=cells(lines[rule - 1]),
        rows=[cells(line) for line in lines[rule + 1 : stop]],
        notes=lines[stop + 1 :],
    )


class _Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.found = [], Printed("", [], [], [], [])

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr" and "tbody" in self.open:
            self.found.rows.append([])
        if tag in ("th", "td"):
            (self.found.columns if tag == "th" else self.found.rows[-1]).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"{tag} was closed where another was open"

    def handle_data(self, data):
        place, found = self.open[-1], self.found
        if place == "b":
            found.title += data
        elif place == "div":
            found.head.append(data)
        elif place == "small":
            found.notes.append(data)
        elif place == "th":
            found.columns[-1] += data
        elif place == "td":
            found.rows[-1][-1] += data
        else:
            raise AssertionError(f"text in <{place}>: {data}")


def read_html(fragment):
    """Take the same table apart that was printed as HTML."""
    reader = _Cells()
    reader.feed(fragment)
    reader.close()
    assert not reader.open, "every tag is closed"
    found = reader.found
    found.rows = [[cell.strip() for cell in row] for row in found.rows]
    return found
