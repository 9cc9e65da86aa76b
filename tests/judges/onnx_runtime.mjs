// ONNX Runtime itself as judge of a folder with model.onnx, on the CPU.
//
//   node_modules/.bin/node onnx_runtime.mjs FOLDER nll    --tokens-file F [--max-tokens N] [--prefill N] [--pad N]
//   node_modules/.bin/node onnx_runtime.mjs FOLDER greedy --tokens-file F [--max-tokens N]
//   node_modules/.bin/node onnx_runtime.mjs         (answers what its input asks: answering.mjs)
//
// A tokens file is a JSON array of ids, taken as it is. nll is the mean of -ln p(token | all before it) over every
// token after the first: the first --prefill tokens (all, unless given) go in at once, each further one alone, with the
// keys and values that came out before it; --pad tokens that the mask hides come before all of them. greedy prefills
// the tokens and chooses step by step, until genai_config.json's end or --max-tokens. Names and sizes are taken from
// genai_config.json, as ONNX Runtime GenAI does. Prints one line of JSON: {tokens, mean_nll} or {ids, stopped}.

import {readFile} from "node:fs/promises";
import {parseArgs} from "node:util";
import {UsageError, judge} from "./answering.mjs";
import {Decoder} from "./onnx_decoder.mjs";

const USAGE = "usage: onnx_runtime.mjs FOLDER nll|greedy --tokens-file F [--max-tokens N] [--prefill N] [--pad N]";

function parseCommandLine(argv) {
    let parsed;
    try {
        parsed = parseArgs({args: argv, allowPositionals: true, options: {
            "tokens-file": {type: "string"}, "max-tokens": {type: "string"}, "prefill": {type: "string"},
            "pad": {type: "string"}
        }});
    } catch (error) {
        throw new UsageError(error.message);
    }
    const {positionals, values} = parsed;
    if (positionals.length !== 2 || values["tokens-file"] === undefined)
        throw new UsageError("give a folder, a subcommand and --tokens-file");
    const number = (name) => {
        const value = values[name] === undefined ? undefined : Number(values[name]);
        if (value !== undefined && (!Number.isInteger(value) || value < 1))
            throw new UsageError(`--${name} must be a whole number above 0, not "${values[name]}"`);
        return value;
    };
    return {folder: positionals[0], command: positionals[1], tokensFile: values["tokens-file"],
            maxTokens: number("max-tokens"), prefill: number("prefill"), pad: number("pad") ?? 0};
}

function nllOf(logits, id) {
    let most = -Infinity, sum = 0;
    for (const value of logits)
        most = Math.max(most, value);
    for (const value of logits)
        sum += Math.exp(value - most);
    return most + Math.log(sum) - logits[id];
}

async function nll(decoder, ids, options) {
    ids = ids.slice(0, options.maxTokens ?? ids.length);
    if (ids.length < 2)
        throw new Error("fewer than two tokens: there is nothing to predict");
    ids = [...Array(options.pad).fill(0), ...ids];
    let sum = 0, at = 0, step = Math.min(options.pad + (options.prefill ?? ids.length), ids.length - 1);
    while (at < ids.length - 1) {
        const rows = await decoder.run(ids.slice(at, at + step), options.pad - at);
        rows.forEach((row, i) => { sum += at + i < options.pad ? 0 : nllOf(row, ids[at + i + 1]); });
        at += step;
        step = 1;
    }
    return {tokens: ids.length - options.pad, mean_nll: sum / (ids.length - options.pad - 1)};
}

async function greedy(decoder, ids, options) {
    const ends = [decoder.model.eos_token_id].flat(), out = [];
    let input = ids;
    while (out.length < (options.maxTokens ?? 64)) {
        const row = (await decoder.run(input)).at(-1);
        let next = 0;
        row.forEach((value, id) => { if (value > row[next]) next = id; });
        if (ends.includes(next))
            return {ids: out, stopped: "end"};
        out.push(next);
        input = [next];
    }
    return {ids: out, stopped: "length"};
}

const COMMANDS = {nll, greedy};

async function answer(words) {
    const options = parseCommandLine(words);
    const run = COMMANDS[options.command];
    if (run === undefined)
        throw new UsageError(`no subcommand "${options.command}"`);
    const ids = JSON.parse(await readFile(options.tokensFile, "utf8"));
    const decoder = await Decoder.open(options.folder);
    try {
        return await run(decoder, ids, options);
    } finally {
        await decoder.session.release();
    }
}

process.exit(await judge(USAGE, answer));
