"""The sections of docs/formats/models.md that tests write: families and embedding models by format, as runtimes found them."""
from harness import ROOT

PAGE = ROOT / "docs/formats/models.md"
BEGIN = "<!-- Written by tests/e2e/{} with QUANTFLEET_MATRIX=write. -->\n"
END = "<!-- The end of what it writes. -->\n"
DIGITS = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def power(value):
    """0.00123 as 1·10⁻³, with the word that sorts it as equal where it is 0."""
    if value <= 0:
        return "0"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}\u00b710{str(int(exponent)).translate(DIGITS)}"


def table(heading, columns, rows):
    lines = [[heading, *columns], ["---"] * (len(columns) + 1)] + [[name, *cells] for name, cells in rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def sections(test):
    """The page before, within and after the marks of that test."""
    before, rest = PAGE.read_text().split(BEGIN.format(test))
    within, after = rest.split(END, 1)
    return before, within, after


def rewrite(test, text):
    before, _, after = sections(test)
    PAGE.write_text(f"{before}{BEGIN.format(test)}\n{text}\n{END}{after}")
