#!/usr/bin/python3
"""Fails on unit tests that expect a sentence of an error's message. Messages are there to be reworded: a test asks for the code,
and for what tells one error from another (a file, a key, a number, an option, the command that mends it). Short words do for
an error that the test itself makes up.

usage: sentences.py [ROOT]   (this tree)
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What is expected of a message is an argument of these, from the third on or from the first.
EXPECTS = re.compile(r"\b(EXPECT_ERROR|Names)\(")
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
WORDS = re.compile(r"(?<![\w`-])[a-z']+(?: [a-z']+){3,}")  # four in a row
COMMAND = re.compile(r"(?:quantfleet|chmod|chown)\b")  # what a user is told to run


def arguments(text, start):
    """Those of the call whose parenthesis is before `start`: strings count as a whole, parentheses as they nest."""
    found, depth, begin = [], 0, start
    token = re.compile(r'R"\((?:.|\n)*?\)"|"(?:[^"\\\n]|\\.)*"|(?<!\w)\'(?:[^\'\\\n]|\\.)*\'|[()\[\]{},]')
    for match in token.finditer(text, start):
        mark = match[0]
        if mark in ("(", "[", "{"):
            depth += 1
        elif mark in (")", "]", "}") and depth:
            depth -= 1
        elif mark in (",", ")") and depth == 0:
            found.append(text[begin:match.start()])
            begin = match.end()
            if mark == ")":
                break
    return found


def sentences(root):
    """What is wrong, and how many expectations were looked at."""
    wrong, looked = [], 0
    for path in sorted(p for p in (root / "tests").rglob("*") if p.suffix in (".h", ".cc")):
        text = path.read_text()
        for match in EXPECTS.finditer(text):
            expected = arguments(text, match.end())[2 if match[1] == "EXPECT_ERROR" else 0:]
            looked += 1
            for one in expected:
                said = "".join(LITERAL.findall(one))  # literals side by side are one string
                for words in WORDS.finditer(said):
                    if not COMMAND.match(words[0]):
                        number = text.count("\n", 0, match.start()) + 1
                        wrong.append(f'{path.relative_to(root)}:{number}: expects "{words[0]}" of a message: ask for its code, '
                                     f"and for the name or number that tells it from others")
    return wrong, looked


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT)
    wrong, looked = sentences(root)
    if looked == 0:
        wrong.append("no expectation was found: the test looks at the wrong place")
    print("\n".join(wrong) if wrong else f"sentences: none in {looked} expectations")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
