#!/usr/bin/python3
"""The story grammar: turns a stream name and an index into one story, always the same one.

Streams keep texts apart: `train` is what a model learns from, `held-out` what it is judged on.
"""

import argparse
import random
import re

import lexicon as lx
from schemas import OPENINGS, SCHEMAS

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{([A-Za-z_]+)\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


def _the(phrase):
    """"a jar of honey" -> "the jar of honey"."""
    return "the " + phrase.split(" ", 1)[1]


def _add(env, prefix, record):
    """Puts a record's fields into the slots, with the derived forms that the schemas ask for."""
    for key, value in record.items():
        slot = f"{prefix}_{key}" if key else prefix
        env[slot] = value
        if key in ("he", "his"):
            env[f"{prefix}_{key.capitalize()}"] = value.capitalize()
        if value.startswith(("a ", "an ")):
            env[slot + "The"] = _the(value)
    if "" in record:
        env[f"{prefix}_Cap"] = record[""][:1].upper() + record[""][1:]


def _cast(rng, env, schema):
    """Draws who plays: two names, two animals; a race needs a quick animal and a slow hero."""
    names = rng.sample(lx.NAMES, 2)
    animals = rng.sample(lx.ANIMALS, 2)
    second = "f"
    if schema.name == "race":
        pair = rng.choice(lx.RACERS)
        by_name = {a["animal"]: a for a in lx.ANIMALS}
        animals = [by_name[pair["slow"]], by_name[pair["quick"]]]
        second = "q"
    for prefix, name, animal in zip(("h", second), names, animals):
        _add(env, prefix, name)
        _add(env, prefix, animal)
        _add(env, prefix, rng.choice(lx.ADJECTIVES))


def _expand(text, rng, env):
    while True:
        match = _CHOICE.search(text)
        if not match:
            break
        text = text[:match.start()] + rng.choice(match.group(1).split("|")) + text[match.end():]
    # Drawn words may name slots themselves ("showed {h_him} the path"), hence until none is left.
    while _SLOT.search(text):
        text = _SLOT.sub(lambda m: env[m.group(1)], text)
    return text


def story(stream, index):
    """The story `index` of a stream: one line of text, no line break at its end."""
    rng = random.Random(f"{stream}:{index}")
    schema = rng.choice(SCHEMAS)
    env = {}
    _cast(rng, env, schema)
    for prefix, table in schema.draws.items():
        _add(env, prefix, rng.choice(table))
    lines = [rng.choice(OPENINGS)]
    for line in schema.lines:
        if line.startswith("?"):
            if rng.random() < 0.5:
                continue
            line = line[1:].lstrip()
        lines.append(line)
    text = " ".join(_expand(line, rng, env) for line in lines)
    return _ARTICLE.sub(r"\1n ", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stream", default="train")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--stories", type=int, default=5)
    args = parser.parse_args()
    for index in range(args.first, args.first + args.stories):
        print(story(args.stream, index))


if __name__ == "__main__":
    main()
