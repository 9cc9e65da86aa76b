#!/usr/bin/env node
// The npm package `openai`, as it is published, against a server that says it speaks OpenAI's API. Each step
// is what a program that uses the package does; each prints what came, as one JSON object. The process fails
// where the client does.
//
// usage: openai_client.mjs BASE_URL MODEL [STEP...]
import OpenAI from "openai";

const [baseURL, model, ...wanted] = process.argv.slice(2);
if (!model) {
    process.stderr.write("usage: openai_client.mjs BASE_URL MODEL [STEP...]\n");
    process.exit(2);
}
const client = new OpenAI({baseURL, apiKey: "none is asked for", maxRetries: 0});
const messages = [{role: "system", content: "Tell a story. "}, {role: "user", content: "Once upon a time"}];
const greedy = {model, temperature: 0, max_tokens: 24};

async function models() {
    const all = [];
    for await (const one of client.models.list())
        all.push(one.id);
    return {all, one: (await client.models.retrieve(model)).id};
}

async function completion() {
    const answer = await client.completions.create({...greedy, prompt: "Once upon a time"});
    return {text: answer.choices[0].text, finish: answer.choices[0].finish_reason, usage: answer.usage};
}

async function chat() {
    const answer = await client.chat.completions.create({...greedy, messages});
    const {message, finish_reason: finish} = answer.choices[0];
    return {role: message.role, text: message.content, finish, usage: answer.usage};
}

async function chatStream() {
    const stream = await client.chat.completions.create(
        {...greedy, messages, stream: true, stream_options: {include_usage: true}});
    let text = "", pieces = 0, finish = null, usage = null;
    for await (const chunk of stream) {
        const choice = chunk.choices[0];
        if (choice?.delta?.content) {
            text += choice.delta.content;
            ++pieces;
        }
        finish = choice?.finish_reason ?? finish;
        usage = chunk.usage ?? usage;
    }
    return {text, pieces, finish, usage};
}

// What the package itself assembles from a stream.
async function chatAssembled() {
    const runner = client.chat.completions.stream({...greedy, messages});
    const whole = await runner.finalChatCompletion();
    return {role: whole.choices[0].message.role, text: whole.choices[0].message.content};
}

async function completionStream() {
    const stream = await client.completions.create({...greedy, prompt: "Once upon a time", stream: true});
    let text = "";
    for await (const chunk of stream)
        text += chunk.choices[0]?.text ?? "";
    return {text};
}

// Needs a model that would talk for minutes.
async function abort() {
    const endless = {model, messages: [{role: "user", content: "Once"}], temperature: 0, max_tokens: 1e6, stream: true};
    const stream = await client.chat.completions.create(endless);
    let pieces = 0;
    for await (const _ of stream) {
        if (++pieces === 3)
            stream.controller.abort();
    }
    return {pieces};
}

async function logprobs() {
    const text = await client.completions.create({...greedy, prompt: "Once upon a time", logprobs: 3});
    const talk = await client.chat.completions.create({...greedy, messages, logprobs: true, top_logprobs: 2});
    return {text: text.choices[0].text, ofText: text.choices[0].logprobs,
            talk: talk.choices[0].message.content, ofTalk: talk.choices[0].logprobs.content};
}

async function stop() {
    const whole = (await client.completions.create({...greedy, prompt: "Once upon a time"})).choices[0].text;
    const word = whole.slice(8, 13);
    const cut = await client.completions.create({...greedy, prompt: "Once upon a time", stop: [word], stream: true});
    let text = "", finish = null;
    for await (const chunk of cut) {
        text += chunk.choices[0]?.text ?? "";
        finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    return {whole, word, text, finish};
}

async function seeds() {
    const say = async (seed) => (await client.completions.create(
        {model, prompt: "Once", max_tokens: 24, temperature: 1, seed})).choices[0].text;
    return {same: (await say(1)) === (await say(1)), other: (await say(1)) !== (await say(2))};
}

async function parallel() {
    const say = async (prompt) => (await client.completions.create({...greedy, prompt})).choices[0].text;
    const prompts = ["Once upon a time", "The little dog", "One day", "A girl"];
    const alone = [];
    for (const prompt of prompts)
        alone.push(await say(prompt));
    return {alone, together: await Promise.all(prompts.map(say))};
}

async function errors() {
    const told = {};
    const cases = {
        unknownModel: {...greedy, model: "no-such-model", prompt: "x"},
        tooLong: {...greedy, prompt: "word ".repeat(20000)},
        two: {...greedy, prompt: "x", n: 2},
        hot: {...greedy, prompt: "x", temperature: 99},
    };
    for (const [name, body] of Object.entries(cases)) {
        try {
            await client.completions.create(body);
            told[name] = null;
        } catch (error) {
            told[name] = {kind: error.constructor.name, status: error.status, code: error.code, message: error.message};
        }
    }
    return told;
}

const steps = {models, completion, chat, chatStream, chatAssembled, completionStream, abort, logprobs, stop, seeds,
               parallel, errors};
for (const name of wanted.length ? wanted : Object.keys(steps).filter((one) => one !== "abort")) {
    const step = steps[name];
    try {
        process.stdout.write(JSON.stringify({step: name, ...await step()}) + "\n");
    } catch (error) {
        process.stderr.write(`openai_client.mjs: ${name}: ${error.stack}\n`);
        process.exit(1);
    }
}
