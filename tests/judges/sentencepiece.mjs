// SentencePiece's BPE from its tokenizer.model, with byte fallback; enough for the tests' models.

import {readFile} from "node:fs/promises";

const NORMAL = 1, BYTE = 6, SPACE = "\u2581";

// The fields of a protobuf message: [number, value], a varint as a number, all else as bytes.
function* fieldsOf(bytes) {
    let at = 0;
    const varint = () => {
        let value = 0, shift = 1;
        for (; bytes[at] & 128; shift *= 128)
            value += (bytes[at++] & 127) * shift;
        return value + bytes[at++] * shift;
    };
    while (at < bytes.length) {
        const tag = varint(), kind = tag & 7;
        if (kind === 0) {
            yield [tag >> 3, varint()];
            continue;
        }
        const size = kind === 2 ? varint() : kind === 5 ? 4 : 8;
        yield [tag >> 3, bytes.subarray(at, at += size)];
    }
}

export class SentencePiece {
    static async open(path) {
        const one = new SentencePiece();
        one.pieces = [];
        one.ids = new Map();
        for (const [number, bytes] of fieldsOf(await readFile(path))) {
            if (number !== 1)
                continue;
            const piece = {text: "", score: 0, type: NORMAL};
            for (const [field, value] of fieldsOf(bytes)) {
                if (field === 1)
                    piece.text = value.toString("utf8");
                else if (field === 2)
                    piece.score = value.readFloatLE(0);
                else if (field === 3)
                    piece.type = value;
            }
            one.ids.set(piece.text, one.pieces.length);
            one.pieces.push(piece);
        }
        return one;
    }

    encode(text) {
        const parts = Array.from((" " + text).replaceAll(" ", SPACE));
        for (;;) {
            let best = -1, score = -Infinity;
            for (let i = 0; i + 1 < parts.length; ++i) {
                const piece = this.pieces[this.ids.get(parts[i] + parts[i + 1])];
                if (piece?.type === NORMAL && piece.score > score) {
                    best = i;
                    score = piece.score;
                }
            }
            if (best < 0)
                break;
            parts.splice(best, 2, parts[best] + parts[best + 1]);
        }
        const byte = (value) => this.ids.get(`<0x${value.toString(16).toUpperCase().padStart(2, "0")}>`);
        return parts.flatMap((part) => this.ids.get(part) ?? Array.from(Buffer.from(part), byte));
    }

    decode(ids) {
        return Buffer.concat(ids.map((id) => {
            const {text, type} = this.pieces[id];
            return type === BYTE ? Buffer.from([parseInt(text.slice(3, 5), 16)]) : Buffer.from(text.replaceAll(SPACE, " "));
        })).toString("utf8");
    }
}
