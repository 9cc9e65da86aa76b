// A GGUF file behind OpenAI's API, by llama.cpp: openai_server.mjs says how.

import {getLlama} from "node-llama-cpp";
import {serve} from "./openai_server.mjs";

await serve(async (path, contextSize) => {
    const llama = await getLlama({gpu: false, build: "never", skipDownload: true, progressLogs: false, maxThreads: 1});
    const model = await llama.loadModel({modelPath: path});
    const context = await model.createContext({contextSize, batchSize: contextSize, sequences: 1, threads: 1});
    const sequence = context.getSequence();
    return async function* (text, most) {
        await sequence.clearHistory();
        const begin = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
        const prompt = [...begin, ...model.tokenize(text, false)], out = [];
        let said = 0;
        for await (const token of sequence.evaluate(prompt, {temperature: 0})) {
            out.push(token);
            const whole = model.detokenize(out, false, prompt);
            yield whole.slice(said);
            said = whole.length;
            if (out.length >= most)
                return;
        }
    };
});
