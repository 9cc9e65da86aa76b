// A folder with model.onnx, run by ONNX Runtime on the CPU: tokens in, logits out. Names and sizes are taken from
// genai_config.json, as ONNX Runtime GenAI does.

import {readFile} from "node:fs/promises";
import {join} from "node:path";
import ort from "onnxruntime-node";

// An F16 as a number.
function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent === 31)
        return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * fraction / 1024);
}

export class Decoder {
    static async open(folder) {
        const decoder = new Decoder();
        decoder.model = JSON.parse(await readFile(join(folder, "genai_config.json"), "utf8")).model;
        const path = join(folder, decoder.model.decoder.filename);
        decoder.session = await ort.InferenceSession.create(path, {
            executionProviders: ["cpu"], intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3
        });
        decoder.reset();
        return decoder;
    }

    names(which) {
        const {inputs, outputs, num_hidden_layers: layers} = this.model.decoder, out = [];
        for (let i = 0; i < layers; ++i)
            for (const kind of ["key", "value"])
                out.push([`past_${kind}_names`, `present_${kind}_names`].map(
                    (name, at) => (at ? outputs : inputs)[name].replace("%d", i))[which]);
        return out;
    }

    reset() {
        const {num_key_value_heads: heads, head_size: size} = this.model.decoder;
        const meta = this.session.inputMetadata.find(({name}) => name === this.names(0)[0]);
        const Values = meta.type === "float16" ? Uint16Array : Float32Array;
        this.mask = [];
        this.past = this.names(0).map(() => new ort.Tensor(meta.type, new Values(0), [1, heads, 0, size]));
    }

    // Logits of each of these tokens, which come behind all earlier ones; the mask hides the first `hidden` of them.
    async run(ids, hidden = 0) {
        const {inputs, outputs} = this.model.decoder;
        this.mask.push(...ids.map((_, i) => i < hidden ? 0 : 1));
        const int64 = (values, dims) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), dims);
        const feeds = {
            [inputs.input_ids]: int64(ids, [1, ids.length]),
            [inputs.attention_mask]: int64(this.mask, [1, this.mask.length])
        };
        this.names(0).forEach((name, i) => { feeds[name] = this.past[i]; });
        const results = await this.session.run(feeds);
        this.past = this.names(1).map((name) => results[name]);
        const logits = results[outputs.logits], vocab = this.model.vocab_size;
        if (logits.dims.join() !== [1, ids.length, vocab].join())
            throw new Error(`logits have the shape ${logits.dims}`);
        const raw = logits.type === "float16" && logits.data instanceof Uint16Array
            ? Float64Array.from(logits.data, half) : logits.data;
        return ids.map((_, i) => raw.subarray(i * vocab, (i + 1) * vocab));
    }
}
