// As much of a server of OpenAI's API as an external runtime needs: GET /health (503 until the model is loaded), POST
// /v1/completions and /v1/chat/completions, also as a stream. One answer at a time, greedy. A client that leaves ends its answer.
//
// `open(path, contextTokens)` loads the model and returns generate(text, most), an async generator of the pieces of text.

import {createServer} from "node:http";
import {setTimeout as sleep} from "node:timers/promises";
import {parseArgs} from "node:util";

const USAGE = "usage: SERVER MODEL (--port N | --socket PATH) [--pace MS] [--fail MESSAGE]";

async function bodyOf(request) {
    const pieces = [];
    for await (const piece of request)
        pieces.push(piece);
    return JSON.parse(Buffer.concat(pieces).toString("utf8"));
}

function reply(response, status, object) {
    response.writeHead(status, {"Content-Type": "application/json"});
    response.end(JSON.stringify(object));
}

export async function serve(open) {
    const {positionals, values} = parseArgs({allowPositionals: true, options: {
        port: {type: "string"}, socket: {type: "string"},
        pace: {type: "string", default: "0"},  // between two tokens, for tests that have to be in time
        fail: {type: "string"}  // instead of serving
    }});
    if (values.fail !== undefined) {
        process.stderr.write(values.fail + "\n");
        process.exit(3);
    }
    if (positionals.length !== 1 || (values.port === undefined) === (values.socket === undefined)) {
        process.stderr.write(USAGE + "\n");
        process.exit(2);
    }
    let generate = null, turn = Promise.resolve();

    async function answer(request, response, chat) {
        const asked = await bodyOf(request);
        const text = chat ? asked.messages.map(({content}) => content).join("") : asked.prompt;
        const id = chat ? "chatcmpl-0" : "cmpl-0", created = Math.floor(Date.now() / 1000), {model} = asked;
        const event = (choice) => response.write("data: " + JSON.stringify({
            id, object: chat ? "chat.completion.chunk" : "text_completion", created, model,
            choices: [{index: 0, finish_reason: null, ...choice}]
        }) + "\n\n");
        let whole = "", tokens = 0;
        if (asked.stream)
            response.writeHead(200, {"Content-Type": "text/event-stream"});
        for await (const piece of generate(text, asked.max_tokens ?? 128)) {
            whole += piece;
            ++tokens;
            if (asked.stream)
                event(chat ? {delta: {content: piece}} : {text: piece});
            if (values.pace !== "0")
                await sleep(Number(values.pace));
            if (response.destroyed) {
                console.log(`the client left after ${tokens} tokens`);
                return;
            }
        }
        if (asked.stream) {
            event({...(chat ? {delta: {}} : {text: ""}), finish_reason: "length"});
            response.end("data: [DONE]\n\n");
            return;
        }
        const choice = chat ? {message: {role: "assistant", content: whole}} : {text: whole};
        reply(response, 200, {
            id, object: chat ? "chat.completion" : "text_completion", created, model,
            choices: [{index: 0, finish_reason: "length", ...choice}], usage: {completion_tokens: tokens}
        });
    }

    const server = createServer((request, response) => {
        const chat = request.url === "/v1/chat/completions";
        if (request.url === "/health")
            return reply(response, generate ? 200 : 503, {status: generate ? "ok" : "loading"});
        if (request.method !== "POST" || !(chat || request.url === "/v1/completions"))
            return reply(response, 404, {error: {message: "there is no such page"}});
        turn = turn.then(() => answer(request, response, chat)).catch((error) => {
            if (!response.headersSent)
                reply(response, 400, {error: {message: error.message}});
            response.destroy();
        });
    });
    server.listen(values.socket === undefined ? {port: Number(values.port), host: "127.0.0.1"} : {path: values.socket});
    process.on("SIGTERM", () => process.exit(0));
    generate = await open(positionals[0], 512);
    console.log("the model is loaded");
}
