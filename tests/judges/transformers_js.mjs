// transformers.js itself as judge of a folder that it is to run: in Node, or in a browser, which gets everything from a server
// on this machine.
//
//   node_modules/.bin/node transformers_js.mjs FOLDER node|browser PROMPT N
//   node_modules/.bin/node transformers_js.mjs      (answers what its input asks: answering.mjs)
//
// PROMPT is a text, or a JSON array of messages. Prints one line of JSON: {prompt, ids, text, dtype}: the ids that the tokenizer
// makes of the prompt, at most N that follow greedily, and their text. The browser is Debian's Chromium, without a network but
// the loopback device, and computes by WebAssembly; other requests than to the server are errors.

import {createReadStream} from "node:fs";
import {stat} from "node:fs/promises";
import {createServer} from "node:http";
import path from "node:path";
import {fileURLToPath} from "node:url";
import {UsageError, judge} from "./answering.mjs";

const USAGE = "usage: transformers_js.mjs FOLDER node|browser PROMPT N";
const CHROMIUM = "/usr/bin/chromium";
const NPM = fileURLToPath(new URL("node_modules/", import.meta.url));
const TYPES = {".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm",
               ".json": "application/json"};

// Runs in Node and, by its source, in the page. `library` is the package, `name` the folder's below its localModelPath.
async function generate(library, name, prompt, most) {
    const pipe = await library.pipeline("text-generation", name);
    const text = prompt.startsWith("[")
        ? pipe.tokenizer.apply_chat_template(JSON.parse(prompt), {tokenize: false, add_generation_prompt: true})
        : prompt;
    const inputs = pipe.tokenizer(text, {add_special_tokens: !prompt.startsWith("[")});
    const given = Array.from(inputs.input_ids.data, Number);
    const out = await pipe.model.generate({...inputs, max_new_tokens: most, do_sample: false});
    const ids = Array.from(out.data, Number).slice(given.length);
    const said = {prompt: given, ids, text: pipe.tokenizer.decode(ids, {skip_special_tokens: true}),
                  dtype: pipe.model.config["transformers.js_config"].dtype};
    await pipe.dispose();
    return said;
}

async function inNode(folder, prompt, most) {
    const library = await import("@huggingface/transformers");
    library.env.allowRemoteModels = false;
    library.env.useFSCache = false;
    library.env.localModelPath = path.dirname(path.resolve(folder)) + "/";
    return await generate(library, path.basename(folder), prompt, most);
}

const PAGE = `<!doctype html><script type="importmap">${JSON.stringify({imports: {
    "@huggingface/transformers": "/npm/@huggingface/transformers/dist/transformers.web.js",
    "onnxruntime-web/webgpu": "/npm/onnxruntime-web/dist/ort.webgpu.bundle.min.mjs",
    "onnxruntime-common": "/npm/onnxruntime-web/node_modules/onnxruntime-common/dist/esm/index.js"}})}</script>
<script type="module">
import * as library from "@huggingface/transformers";
library.env.allowLocalModels = true;
library.env.allowRemoteModels = false;
library.env.localModelPath = "/models/";
library.env.useBrowserCache = library.env.useWasmCache = false;
library.env.backends.onnx.wasm.wasmPaths = "/npm/onnxruntime-web/dist/";
const generate = ${generate};
window.judge = (...words) => generate(library, ...words);
</script>`;

// Serves the page, the packages and the folder's neighbours.
async function serve(models) {
    const roots = {"/npm/": NPM, "/models/": models + "/"};
    const server = createServer(async (request, response) => {
        const where = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
        if (where === "/") {
            response.writeHead(200, {"content-type": "text/html"}).end(PAGE);
            return;
        }
        const root = Object.keys(roots).find((prefix) => where.startsWith(prefix));
        const file = root && path.join(roots[root], where.slice(root.length));
        const found = file?.startsWith(roots[root]) ? await stat(file).catch(() => null) : null;
        if (!found?.isFile()) {
            response.writeHead(404).end();
            return;
        }
        response.writeHead(200, {"content-type": TYPES[path.extname(file)] ?? "application/octet-stream",
                                 "content-length": found.size});
        if (request.method === "HEAD")
            response.end();
        else
            createReadStream(file).pipe(response);
    });
    await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
    return server;
}

async function inBrowser(folder, prompt, most) {
    const {chromium} = await import("playwright-core");
    const server = await serve(path.dirname(path.resolve(folder)));
    const home = `http://127.0.0.1:${server.address().port}`;
    const browser = await chromium.launch({executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"]});
    const said = [];
    try {
        const page = await browser.newPage();
        await page.route("**", (route) => {
            const url = route.request().url();
            if (url.startsWith(home) || url.startsWith("blob:") || url.startsWith("data:"))
                return route.continue();
            said.push(`it asks for ${url}`);
            return route.abort();
        });
        page.on("console", (message) => said.push(message.text()));
        page.on("pageerror", (error) => said.push(error.message));
        await page.goto(home);
        await page.waitForFunction(() => window.judge !== undefined);
        return await page.evaluate((words) => window.judge(...words), [path.basename(folder), prompt, most]);
    } catch (error) {
        throw new Error([error.message, ...said].join("\n"));
    } finally {
        await browser.close();
        server.close();
    }
}

const PLACES = {node: inNode, browser: inBrowser};

async function answer(words) {
    const [folder, place, prompt, most] = words;
    if (words.length !== 4 || !(place in PLACES) || !Number.isInteger(Number(most)))
        throw new UsageError("give a folder, a place, a prompt and a number");
    return await PLACES[place](folder, prompt, Number(most));
}

process.exit(await judge(USAGE, answer));
