// llama.cpp itself as judge of a GGUF file, on the CPU, through node-llama-cpp's prebuilt binary.
//
//   node_modules/.bin/node llama_cpp.mjs MODEL.gguf tokenize --text-file F | --texts-file F.json
//   node_modules/.bin/node llama_cpp.mjs MODEL.gguf greedy   --prompt T | --tokens-file F [--max-tokens N]
//   node_modules/.bin/node llama_cpp.mjs MODEL.gguf embed    --texts-file F.json
//   node_modules/.bin/node llama_cpp.mjs MODEL.gguf ends
//   node_modules/.bin/node llama_cpp.mjs          (answers what its input asks: answering.mjs)
//
// Prints one line of JSON: token ids (no BOS; for a JSON array of texts an array of them), {text, ids, stopped}, a
// {tokens, vector} of each text, or the ids of all tokens at which it ends a generation. Further options: --threads N (1 unless
// given), --context N (512 unless given). BOS comes first where the model asks for one; a tokens file is a JSON array of ids,
// taken as it is. How likely llama.cpp finds a text says llama_nll.cc.

import {readFile} from "node:fs/promises";
import {parseArgs} from "node:util";
import {getLlama} from "node-llama-cpp";
import {UsageError, judge} from "./answering.mjs";

const CONTEXT = 512;
const BATCH = 512;

const USAGE = "usage: llama_cpp.mjs MODEL.gguf tokenize|greedy|embed|ends " +
    "[--text-file F] [--texts-file F] [--tokens-file F] [--prompt T] [--max-tokens N] [--threads N] [--context N]";

function parseCommandLine(argv) {
    let parsed;
    try {
        parsed = parseArgs({
            args: argv,
            allowPositionals: true,
            options: {
                "text-file": {type: "string"},
                "texts-file": {type: "string"},
                "tokens-file": {type: "string"},
                "prompt": {type: "string"},
                "max-tokens": {type: "string"},
                "context": {type: "string", default: String(CONTEXT)},
                // llama.cpp's threads wait by spinning, which is slow beside other work.
                "threads": {type: "string", default: "1"}
            }
        });
    } catch (error) {
        throw new UsageError(error.message);
    }
    const {positionals, values} = parsed;
    if (positionals.length !== 2)
        throw new UsageError("give a model file and a subcommand");
    const number = (name) => {
        if (values[name] === undefined)
            return undefined;
        const value = Number(values[name]);
        if (!Number.isInteger(value) || value < 1)
            throw new UsageError(`--${name} must be a whole number above 0, not "${values[name]}"`);
        return value;
    };
    return {
        model: positionals[0],
        command: positionals[1],
        textFile: values["text-file"],
        textsFile: values["texts-file"],
        tokensFile: values["tokens-file"],
        prompt: values.prompt,
        maxTokens: number("max-tokens"),
        context: number("context"),
        threads: number("threads")
    };
}

function required(value, option, command) {
    if (value === undefined)
        throw new UsageError(`${command} needs --${option}`);
    return value;
}

const llamas = new Map();  // by their number of threads

async function llamaWith(threads) {
    if (!llamas.has(threads)) {
        llamas.set(threads, await getLlama({
            gpu: false,
            build: "never",
            skipDownload: true,
            progressLogs: false,
            maxThreads: threads,
            // stdout is for the result alone.
            logger: (level, message) => {
                process.stderr.write(`llama.cpp ${level}: ${message.trimEnd()}\n`);
            }
        }));
    }
    return llamas.get(threads);
}

async function withModel({model: path, threads}, use, vocabOnly = false) {
    const model = await (await llamaWith(threads)).loadModel({modelPath: path, vocabOnly});
    try {
        return await use(model);
    } finally {
        await model.dispose();
    }
}

async function openSequence(model, {threads, context: contextSize}) {
    const context = await model.createContext({
        contextSize, batchSize: Math.min(contextSize, BATCH), sequences: 1, threads, flashAttention: false
    });
    // No context shift: a judge that quietly forgets the beginning would judge something else.
    return context.getSequence();
}

function withBos(model, ids) {
    return model.tokens.shouldPrependBosToken ? [model.tokens.bos, ...ids] : ids;
}

async function tokenize(options) {
    const path = options.textsFile ?? required(options.textFile, "text-file", "tokenize");
    const text = await readFile(path, "utf8");
    return await withModel(options, (model) => options.textsFile === undefined ?
        model.tokenize(text, false) : JSON.parse(text).map((one) => model.tokenize(one, false)), true);
}

async function greedy(model, options) {
    const prompt = options.tokensFile !== undefined ? JSON.parse(await readFile(options.tokensFile, "utf8")) :
        withBos(model, model.tokenize(required(options.prompt, "prompt", "greedy"), false));
    let input = prompt;
    const limit = Math.min(options.maxTokens ?? options.context, options.context - input.length);
    if (limit < 1)
        throw new Error(`the prompt's ${input.length} tokens fill the context of ${options.context}`);
    const sequence = await openSequence(model, options);
    const ask = {generateNext: {token: true, options: {temperature: 0}}};
    const ids = [];
    let stopped = "length";
    while (ids.length < limit) {
        const asked = input.map((id, i) => (i === input.length - 1 ? [id, ask] : id));
        const next = (await sequence.controlledEvaluate(asked)).at(-1)?.next.token;
        if (next === undefined || next === null)
            throw new Error("llama.cpp chose no token");
        if (model.isEogToken(next)) {
            stopped = "end";
            break;
        }
        ids.push(next);
        input = [next];
    }
    return {text: model.detokenize(ids, false, prompt), ids, stopped};
}

async function embed(model, options) {
    const context = await model.createEmbeddingContext({
        contextSize: options.context, batchSize: options.context, threads: options.threads
    });
    // node-llama-cpp leaves it out of models without a BOS; llama.cpp does not.
    const ggml = model.fileInfo.metadata.tokenizer.ggml;
    const end = ggml.add_eos_token === true ? [ggml.eos_token_id] : [];
    const out = [];
    for (const text of JSON.parse(await readFile(required(options.textsFile, "texts-file", "embed"), "utf8"))) {
        const ids = [...model.tokenize(text, false), ...end];
        out.push({tokens: context.calculateInputLength(ids), vector: (await context.getEmbeddingFor(ids)).vector});
    }
    return out;
}

async function ends(options) {
    return await withModel(options, (model) => {
        const tokens = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
        return Array.from({length: tokens}, (_, id) => id).filter((id) => model.isEogToken(id));
    }, true);
}

const onModel = (command) => (options) => withModel(options, (model) => command(model, options));
const COMMANDS = {tokenize, ends, greedy: onModel(greedy), embed: onModel(embed)};

async function answer(args) {
    const options = parseCommandLine(args);
    const run = COMMANDS[options.command];
    if (run === undefined)
        throw new UsageError(`no subcommand "${options.command}"`);
    return await run(options);
}

// The addon keeps worker threads alive, so the process ends only when told to.
process.exit(await judge(USAGE, answer));
