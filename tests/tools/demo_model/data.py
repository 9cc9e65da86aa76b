"""Batches of packed stories, generated as they are needed; no story is ever seen twice."""

import random

import torch

from grammar import story

IGNORE = -100  # cross_entropy's ignore_index
SEPARATOR = "\n"  # between stories of one text: held-out.txt and users' files look like this
_POOL = 48
_COLLECTION_SHARE = 0.25


class Stories:
    """An endless source of token rows. Its whole state is `next_story` and `draws`."""

    def __init__(self, tokenizer, next_story=0, draws=0):
        self.tokenizer = tokenizer
        self.next_story = next_story
        self.draws = draws
        self._pool = []

    def state(self):
        # Stories in the pool but not yet seen are skipped on resume: simpler, and they are endless.
        return {"next_story": self.next_story, "draws": self.draws}

    def _document(self, length):
        """BOS, one story (every fourth time as many as fit, up to three, a line each), EOS."""
        self.draws += 1
        rng = random.Random(f"document:{self.draws}")
        wanted = rng.randint(2, 3) if rng.random() < _COLLECTION_SHARE else 1
        text = None
        while wanted:
            longer = story("train", self.next_story)
            if text is not None:
                longer = text + SEPARATOR + longer
            ids = self.tokenizer.encode(longer)
            if text is not None and len(ids) + 2 > length:
                break
            self.next_story += 1
            text, kept = longer, ids
            wanted -= 1
        return [self.tokenizer.bos_id()] + kept + [self.tokenizer.eos_id()]

    def _row(self, length):
        """Fills one row with the longest texts that still fit.

        Whole texts only, so that endings are learnt as often as beginnings.
        """
        row = []
        while True:
            while len(self._pool) < _POOL:
                self._pool.append(self._document(length))
            fitting = [d for d in self._pool if len(d) <= length - sum(map(len, row))]
            if not fitting:
                return row
            # A row opens with the text that waited longest: by length, short ones would never come.
            best = max(fitting, key=len) if row else fitting[0]
            self._pool.remove(best)
            row.append(best)

    def batch(self, rows, length):
        """(tokens, targets, documents), each [rows, length]; padding has target IGNORE."""
        tokens = torch.zeros(rows, length, dtype=torch.long)
        targets = torch.full((rows, length), IGNORE)
        documents = torch.full((rows, length), -1)
        for r in range(rows):
            at = 0
            for number, document in enumerate(self._row(length)):
                end = at + len(document)
                ids = torch.tensor(document)
                tokens[r, at:end] = ids
                targets[r, at:end - 1] = ids[1:]
                documents[r, at:end] = number
                at = end
        return tokens, targets, documents


def held_out_stories(count, first=0):
    return [story("held-out", index) for index in range(first, first + count)]
