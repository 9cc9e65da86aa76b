// An ONNX folder behind OpenAI's API, by ONNX Runtime: openai_server.mjs says how.

import {join} from "node:path";
import {Decoder} from "./onnx_decoder.mjs";
import {serve} from "./openai_server.mjs";
import {SentencePiece} from "./sentencepiece.mjs";

await serve(async (folder, contextTokens) => {
    const decoder = await Decoder.open(folder);
    const pieces = await SentencePiece.open(join(folder, "tokenizer.model"));
    const ends = [decoder.model.eos_token_id].flat();
    return async function* (text, most) {
        decoder.reset();
        let input = [decoder.model.bos_token_id, ...pieces.encode(text)], said = 0;
        const out = [], room = Math.min(most, contextTokens - input.length);
        while (out.length < room) {
            const row = (await decoder.run(input)).at(-1);
            let next = 0;
            row.forEach((value, id) => { if (value > row[next]) next = id; });
            if (ends.includes(next))
                return;
            out.push(next);
            const whole = pieces.decode(out);
            yield whole.slice(said);
            said = whole.length;
            input = [next];
        }
    };
});
