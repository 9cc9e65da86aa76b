"""Small tokenizers of every kind, trained on the judge's own strings: what published files of language models do not have.

usage: trained.py FOLDER
Writes FOLDER/NAME.json, and prints the names. Needs `tokenizers`; with `sentencepiece`, its compiled map as well.
"""
import base64
import io
import json
import struct
import sys
from pathlib import Path

import strings
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers)

TEXT = strings.lines() * 3
# What Oniguruma and PCRE2 read unlike.
MIXED = r"(?i:'s|'t)|\p{Han}+|[\p{L}&&[^\p{Han}]]{1,4}+|\s+\b|\w++|[[:punct:]]{2}"


def train(tokenizer, trainer):
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def marks(tokenizer):
    """Added tokens with every flag."""
    tokenizer.add_tokens([AddedToken("<l>", lstrip=True, normalized=False), AddedToken("<r>", rstrip=True, normalized=False),
                          AddedToken("word", single_word=True, normalized=False), AddedToken("ËXTRA", normalized=True)])
    tokenizer.add_special_tokens([AddedToken("<both>", lstrip=True, rstrip=True, normalized=False)])
    return tokenizer


def wordpiece():
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    train(t, trainers.WordPieceTrainer(vocab_size=900, special_tokens=["[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]",
                                                     special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return t


def wordpiece_cased():
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=12))
    t.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.decoder = decoders.WordPiece(cleanup=False)
    train(t, trainers.WordPieceTrainer(vocab_size=900, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False))
    t.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return marks(t)


def wordlevel(pre_tokenizer):
    t = Tokenizer(models.WordLevel(unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizer
    return marks(train(t, trainers.WordLevelTrainer(vocab_size=300, special_tokens=["<unk>", "<s>"], show_progress=False)))


def unigram(normalizer, scheme="always"):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    t.decoder = decoders.Metaspace(prepend_scheme=scheme)
    train(t, trainers.UnigramTrainer(vocab_size=700, unk_token="<UNK>", special_tokens=["<S>", "</S>", "<UNK>"],
                                     show_progress=False))
    # SentencePiece's scores, and so those of published files, have 32 bits.
    data = json.loads(t.to_str())
    for entry in data["model"]["vocab"]:
        entry[1] = struct.unpack("f", struct.pack("f", entry[1]))[0]
    return marks(Tokenizer.from_str(json.dumps(data)))


def bpe(normalizer, pre_tokenizer, decoder=None, **options):
    settings = {k: options.pop(k) for k in ("end_of_word_suffix", "continuing_subword_prefix") if k in options}
    t = Tokenizer(models.BPE(unk_token="<unk>", **settings, **options))
    if normalizer:
        t.normalizer = normalizer
    if pre_tokenizer:
        t.pre_tokenizer = pre_tokenizer
    if decoder:
        t.decoder = decoder
    bytes_ = [f"<0x{b:02X}>" for b in range(256)] if options.get("byte_fallback") else []
    return marks(train(t, trainers.BpeTrainer(vocab_size=1200, special_tokens=["<unk>", "<s>"] + bytes_, show_progress=False,
                                              limit_alphabet=300, **settings)))


def byte_level(pre, **options):
    t = Tokenizer(models.BPE(**options))
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    return marks(train(t, trainers.BpeTrainer(vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                              special_tokens=["<s>", "</s>"], show_progress=False)))


def roberta():
    t = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    t.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return t


def split(behavior, invert, pattern=Regex(r"\d+|[\p{P}\s]")):
    return bpe(None, pre_tokenizers.Split(pattern, behavior, invert))


def compiled_map():
    """SentencePiece's nmt_nfkc, from a model that it trains."""
    import sentencepiece
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["a b c d e f g"] * 50), model_writer=model, vocab_size=12,
                                             hard_vocab_limit=False, minloglevel=2)
    # ModelProto.normalizer_spec (3), NormalizerSpec.precompiled_charsmap (2), both in bytes.
    def fields(data):
        at = 0
        def varint():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    return value
        while at < len(data):
            tag = varint()
            size = {0: None, 1: 8, 2: -1, 5: 4}[tag & 7]
            if size is None:
                varint()
                continue
            size = varint() if size < 0 else size
            yield tag >> 3, data[at:at + size]
            at += size
    spec = next(value for field, value in fields(model.getvalue()) if field == 3)
    return base64.b64encode(next(value for field, value in fields(spec) if field == 2)).decode()


def with_map(tokenizer):
    data = json.loads(tokenizer.to_str())
    data["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Precompiled", "precompiled_charsmap": compiled_map()},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]}
    return Tokenizer.from_str(json.dumps(data))


def main():
    n, p, folder = normalizers, pre_tokenizers, Path(sys.argv[1])
    metaspace = p.Metaspace(prepend_scheme="first", split=False)
    fallback = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                  decoders.Strip(" ", 1, 0)])
    made = {
        "wordpiece": wordpiece(), "wordpiece-cased": wordpiece_cased(), "roberta": roberta(),
        "unigram": unigram(n.Sequence([n.Nmt(), n.NFKC(), n.Replace(Regex(" {2,}"), " ")])),
        "unigram-first": unigram(n.Sequence([n.Strip(), n.NFKD(), n.StripAccents(), n.Lowercase()]), "first"),
        "bpe-suffix": bpe(n.BertNormalizer(), p.Whitespace(), decoders.BPEDecoder(), end_of_word_suffix="</w>"),
        "bpe-prefix": bpe(n.NFC(), p.WhitespaceSplit(), continuing_subword_prefix="##"),
        "bpe-fallback": bpe(None, metaspace, fallback, byte_fallback=True, fuse_unk=True),
        "bpe-unknown": bpe(n.NFD(), p.Sequence([p.Digits(False), p.CharDelimiterSplit("e")])),
        "bpe-fused": bpe(n.Prepend("▁"), p.Sequence([p.Punctuation("merged_with_previous"), p.Digits(True)]),
                         fuse_unk=True),
        "bpe-whole": bpe(n.Lowercase(), None, ignore_merges=True),
        "byte-level": byte_level(p.Sequence([p.Split(Regex(MIXED), "isolated"),
                                             p.ByteLevel(add_prefix_space=False, use_regex=False)])),
        "wordlevel": wordlevel(p.Whitespace()), "wordlevel-scripts": wordlevel(p.UnicodeScripts()),
        "byte-level-scripts": byte_level(p.Sequence([p.UnicodeScripts(), p.ByteLevel(add_prefix_space=False)])),
        "byte-level-fixed": byte_level(p.Sequence([p.FixedLength(length=3), p.ByteLevel(add_prefix_space=False)]),
                                       ignore_merges=True),
    }
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            made[f"split-{behavior}{'-inverted' if invert else ''}"] = split(behavior, invert)
    made["split-text"] = split("merged_with_next", False, "e")
    try:
        made["unigram-map"] = with_map(unigram(n.NFKC()))
    except ImportError:
        pass
    folder.mkdir(parents=True, exist_ok=True)
    for name, tokenizer in made.items():
        tokenizer.save(str(folder / f"{name}.json"))
    print(json.dumps(sorted(made)))


if __name__ == "__main__":
    main()
