"""A small byte-level BPE without libraries: trains a vocabulary, writes it as tokenizer.json with a published
family's pre-tokenizer, and encodes text with it. What llama.cpp makes of our GGUF is compared with it.

The regular expressions are the models' own; Python's re lacks \\p{..}, so those classes are spelled out from
unicodedata.
"""
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from itertools import groupby

CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = CL100K.replace(r"\p{N}{1,3}", r"\p{N}")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = "|".join([
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

# Each digit alone, and GPT-2's within what stands between them.
DIGITS = r"\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"

# By GGUF's name of the pre-tokenizer: the expression, and whether a word that is a token stays whole.
PRE_TOKENIZERS = {"llama-bpe": (CL100K, True), "dbrx": (CL100K, False), "gpt-4o": (O200K, False),
                  "qwen2": (QWEN2, False), "gpt-2": (GPT2, False), "refact": (DIGITS, False)}


@lru_cache(maxsize=None)
def category_runs():
    """(category, first, last) of neighbours in Unicode that share one."""
    runs, first = [], 0
    for category, codes in groupby(map(unicodedata.category, map(chr, range(0x110000)))):
        last = first + sum(1 for _ in codes) - 1
        runs.append((category, first, last))
        first = last + 1
    return runs


@lru_cache(maxsize=None)
def char_ranges(category):
    """The inside of a character class that matches \\p{category}."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for kind, first, last in category_runs() if kind.startswith(category))


@lru_cache(maxsize=None)
def compiled(regex):
    out, in_class, at = "", False, 0
    while at < len(regex):
        if regex.startswith(r"\p{", at):
            end = regex.index("}", at)
            ranges = char_ranges(regex[at + 3:end])
            out += ranges if in_class else f"[{ranges}]"
            at = end + 1
            continue
        step = 2 if regex[at] == "\\" else 1
        if step == 1 and regex[at] in "[]":
            in_class = regex[at] == "["
        out += regex[at:at + step]
        at += step
    return re.compile(out)


@lru_cache(maxsize=None)
def byte_letters():
    """Byte-level BPE writes each byte as a printable character."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    letters, extra = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in letters:
            letters[b] = chr(256 + extra)
            extra += 1
    return letters


def spelled(text):
    return "".join(byte_letters()[b] for b in text.encode())


def merge_pair(word, pair):
    out, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


@lru_cache(maxsize=None)
def train_merges(lines, count):
    """Merges of the most frequent neighbours, whatever they are: they run across the borders that a
    pre-tokenizer draws, so that another pre-tokenizer gives other tokens."""
    words = [list(line) for line in lines]
    merges = []
    while len(merges) < count:
        pairs = Counter(pair for word in words for pair in zip(word, word[1:]))
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        words = [merge_pair(word, best) for word in words]
    return tuple(merges)


class ByteBpe:
    """`whole_words` are tokens that no merge makes: only a tokenizer that ignores merges finds them."""

    def __init__(self, pre, merges, whole_words=(), added=()):
        self.pre, self.merges = pre, merges
        self.regex, self.ignore_merges = PRE_TOKENIZERS[pre]
        tokens = [byte_letters()[b] for b in range(256)] + ["".join(m) for m in merges]
        tokens += [spelled(w) for w in whole_words]
        self.vocab = {t: i for i, t in enumerate(dict.fromkeys(tokens))}
        self.ranks = {m: i for i, m in enumerate(merges)}
        self.added = dict(added)  # id -> (text, special)

    def encode(self, text):
        """Ids of a plain text, in which added tokens count that are not special."""
        plain = {t: i for i, (t, special) in self.added.items() if not special}
        parts = re.split("(" + "|".join(map(re.escape, sorted(plain, key=len, reverse=True))) + ")", text) \
            if plain else [text]
        ids = []
        for part in parts:
            if part in plain:
                ids.append(plain[part])
                continue
            for word in compiled(self.regex).findall(part):
                ids += self.encode_word(spelled(word))
        return ids

    def encode_word(self, word):
        if self.ignore_merges and word in self.vocab:
            return [self.vocab[word]]
        symbols = list(word)
        while len(symbols) > 1:
            best = min(zip(symbols, symbols[1:]), key=lambda p: self.ranks.get(p, len(self.ranks)))
            if best not in self.ranks:
                break
            # Leftmost first, one at a time, as the rank order demands.
            i = next(i for i in range(len(symbols) - 1) if (symbols[i], symbols[i + 1]) == best)
            symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]
        return [self.vocab[s] for s in symbols]

    def tokenizer_json(self, bos=None, split=("Isolated", False), merges_as_pairs=False):
        """What the `tokenizers` library would save. With `bos` (text) its post-processor puts it in front."""
        steps = [{"type": "Split", "pattern": {"Regex": self.regex}, "behavior": split[0],
                  "invert": split[1]},
                 {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]
        pre = {"type": "Sequence", "pretokenizers": steps}
        if self.pre in ("gpt-2", "refact"):
            pre = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        if self.pre == "refact":
            pre = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, pre]}
        post = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
        if bos:
            of = {text: i for i, (text, _) in self.added.items()}
            single = [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
            post = {"type": "Sequence",
                    "processors": [post, {"type": "TemplateProcessing", "single": single, "pair": single,
                                          "special_tokens": {bos: {"id": bos, "ids": [of[bos]], "tokens": [bos]}}}]}
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        return {
            "version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, "content": t, "special": s, **plain}
                             for i, (t, s) in self.added.items()],
            "normalizer": {"type": "NFC"} if self.pre == "qwen2" else None,
            "pre_tokenizer": pre, "post_processor": post,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                        "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                      "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False,
                      "ignore_merges": self.ignore_merges, "vocab": self.vocab,
                      "merges": [list(m) if merges_as_pairs else " ".join(m) for m in self.merges]},
        }
