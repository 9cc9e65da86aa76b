// How the judges take their questions: one on the command line, or one after the other.
import {createInterface} from "node:readline";

export class UsageError extends Error {}

// Each line of the input is a JSON array of a command line's words, each answer a line {"said": ...} or {"error": "..."}.
async function answerAll(answer) {
    for await (const line of createInterface({input: process.stdin})) {
        const said = await answer(JSON.parse(line)).then((said) => ({said}), (error) => ({error: error.message}));
        process.stdout.write(JSON.stringify(said) + "\n");
    }
    return 0;
}

// `answer` takes the words of a command line and returns what is printed as one line of JSON. Without words it answers what
// its input asks until that ends: a start takes longer than most answers. The exit status: 0 done, 1 the judge could not do
// it, 2 wrong usage.
export async function judge(usage, answer) {
    const words = process.argv.slice(2);
    if (words.length === 0)
        return await answerAll(answer);
    try {
        process.stdout.write(JSON.stringify(await answer(words)) + "\n");
        return 0;
    } catch (error) {
        process.stderr.write(`${error.message}\n`);
        if (!(error instanceof UsageError))
            return 1;
        process.stderr.write(usage + "\n");
        return 2;
    }
}
