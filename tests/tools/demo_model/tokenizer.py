#!/usr/bin/python3
"""Trains the demo model's SentencePiece BPE tokenizer on the story grammar.

Normalisation is the identity and no white space is removed, since that is all that llama.cpp's SPM
tokenizer does: the two then agree on every text. Unknown characters fall back to bytes.
"""

import argparse
import json
import re
from pathlib import Path

import sentencepiece

from grammar import story

VOCAB_SIZE = 2048
STORIES = 4000
MAX_LENGTH = 512  # the model's max_position_embeddings, which model.py repeats from here


def _corpus():
    """All of printable ASCII, stories, then each word once more without a space before it.

    A word after a line break or a quotation mark has no leading space; in stories alone such forms
    are too rare to become pieces, and the first word of a line would fall apart into letters.
    """
    yield " ".join(chr(c) for c in range(33, 127))
    words = {}
    for index in range(STORIES):
        text = story("train", index)
        yield text
        for word in re.findall(r"[A-Za-z]+", text):
            words[word] = words.get(word, 0) + 1
    for word, count in words.items():
        for _ in range(max(1, count // 40)):
            yield f'"{word}"'


def train(folder):
    """Writes tokenizer.model and tokenizer_config.json into `folder`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "tokenizer.model", "wb") as out:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_corpus(), model_writer=out, model_type="bpe",
            vocab_size=VOCAB_SIZE, byte_fallback=True, character_coverage=1.0,
            normalization_rule_name="identity", remove_extra_whitespaces=False,
            add_dummy_prefix=True, split_digits=True, num_threads=1,
            unk_id=0, bos_id=1, eos_id=2, pad_id=-1, minloglevel=1)
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "add_eos_token": False,
        "legacy": True,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "</s>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": MAX_LENGTH,
        "sp_model_kwargs": {},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def load(folder):
    return sentencepiece.SentencePieceProcessor(model_file=str(Path(folder) / "tokenizer.model"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    train(parser.parse_args().folder)


if __name__ == "__main__":
    main()
