"""A small SentencePiece BPE as tokenizer.model, without libraries: the pieces that Llama's, Phi-3's and
Mistral's files have (unknown, control, 256 bytes, letters and merges with falling scores) as a serialized ModelProto."""
import struct

from byte_bpe import train_merges

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SPACE = "\u2581"


def pieces(lines, merges, control=()):
    """(text, score, type) by id; `control` stand behind <unk>, <s>, </s>, as in Mistral's v0.3."""
    out = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    out += [(text, 0.0, CONTROL) for text in control]
    out += [(f"<0x{b:02X}>", 0.0, BYTE) for b in range(256)]
    marked = tuple(SPACE + line.replace(" ", SPACE) for line in lines)
    texts = ["".join(m) for m in train_merges(marked, merges)]
    texts += sorted({c for line in marked for c in line} - {"\n"})
    return out + [(t, float(-i), NORMAL) for i, t in enumerate(dict.fromkeys(texts))]


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value & (2**64 - 1))


def blob(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def model_proto(all_pieces):
    out = b"".join(
        blob(1, blob(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + number(3, kind))
        for text, score, kind in all_pieces)
    # Trainer: BPE with byte fallback; unknown, bos, eos, padding. Normalizer: identity, a space in front.
    trainer = number(3, 2) + number(35, 1) + number(40, 0) + number(41, 1) + number(42, 2) + number(43, -1)
    return out + blob(2, trainer) + blob(3, blob(1, b"identity") + number(3, 1) + number(4, 0))
