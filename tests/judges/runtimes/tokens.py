"""OpenVINO's tokenizers as judge of those that stand in a folder.

  tokens.py                         (answers what its input asks: each line is a question, a JSON array of words)
    [FOLDER, "compare", FILE.json, COUNT, BEFORE]   as PyPI's `tokenizers` with that tokenizer.json, over so many strings;
                                    BEFORE are the ids that begin a text, as JSON
    [FOLDER, "wanted", TEXTS.json]  the ids of each text, as `tokenizers` has them with the folder's tokenizer.json; null for a
                                    text with characters of which the two have unlike tables
    [FOLDER, "pad", TEXTS.json]     {"ids": [[...]], "mask": [[...]], "types": [[...]] or null} of a batch
    [FOLDER, "decode", IDS.json, SKIPS]             the text of ids, with special tokens or without
    [FOLDER, "chat", TEXT]         {"prompt": what the chat template makes of it, "ids": its ids, "said": a generation's text}

For the Python that install.sh makes. The graphs are run as GenAI runs them, after its own changes to them.
"""
import json
import sys
import unicodedata
from pathlib import Path

import openvino
import openvino_genai
import openvino_tokenizers  # noqa: F401  (whose operations OpenVINO then has)
import tokenizers
from answering import serve

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tokenizers"))
import strings  # noqa: E402  (found beside the other judge)
from compare import young as unlike  # noqa: E402

opened = {}


def tokenizer(folder):
    if folder not in opened:
        opened.clear()
        opened[folder] = openvino_genai.Tokenizer(folder)
    return opened[folder]


def ids_of(folder, text):
    return [int(i) for i in tokenizer(folder).encode(text).input_ids.data[0]]


def young(text):
    """A character of which `tokenizers` knows no other form, as its version of Unicode is older."""
    form = tokenizers.normalizers.NFKC()
    return any(form.normalize_str(c) != unicodedata.normalize("NFKC", c) for c in set(text))


def compare(folder, file, count, before):
    judge, before = tokenizers.Tokenizer.from_file(file), json.loads(before)
    added = [token["content"] for token in json.loads(Path(file).read_text())["added_tokens"]][:60]
    after = judge.encode("").ids[len(before):] if before else []
    result = {"strings": 0, "other_ids": 0, "other_text": 0, "first": []}
    ours, forms = tokenizer(folder), "NFK" in json.dumps(json.loads(Path(file).read_text())["normalizer"])
    for string in strings.strings(int(count), 7, added):
        # OpenVINO's operations fail on an empty text now and then, and what NFKC makes of some characters is another version's.
        if not string or (forms and young(string)):
            continue
        ids = before + judge.encode(string, add_special_tokens=False).ids + after
        text = judge.decode(ids)
        got = ids_of(folder, string)
        told = ours.decode(ids) if ids else ""
        result["strings"] += 1
        if got == ids and told == text:
            continue
        result["other_ids" if got != ids else "other_text"] += 1
        if len(result["first"]) < 4:
            result["first"].append({"string": string, "ids": ids, "ours": got, "text": text, "told": told})
    return result


def pad(folder, texts):
    said = openvino.Core().compile_model(f"{folder}/openvino_tokenizer.xml", "CPU")(json.loads(Path(texts).read_text()))
    outputs = {port.any_name: said[port].tolist() for port in said}
    return {"ids": outputs["input_ids"], "mask": outputs["attention_mask"], "types": outputs.get("token_type_ids")}


def chat(folder, text):
    own = tokenizer(folder)
    prompt = own.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True)
    pipe = openvino_genai.LLMPipeline(folder, "CPU", INFERENCE_PRECISION_HINT="f32")
    config = openvino_genai.GenerationConfig(max_new_tokens=4, do_sample=False, ignore_eos=True, apply_chat_template=True)
    ids = own.encode(prompt, add_special_tokens=False).input_ids
    plain = openvino_genai.GenerationConfig(max_new_tokens=4, do_sample=False, ignore_eos=True)
    from_ids = own.decode([int(i) for i in pipe.generate(ids, plain).tokens[0]])
    return {"prompt": prompt, "ids": [int(i) for i in ids.data[0]], "said": pipe.generate(text, config), "from_ids": from_ids}


def wanted(folder, texts):
    judge = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    judge.no_padding()
    judge.no_truncation()
    return [None if unlike(text) else judge.encode(text).ids for text in json.loads(Path(texts).read_text())]


def answer(folder, command, *args):
    if command == "wanted":
        return wanted(folder, *args)
    if command == "compare":
        return compare(folder, *args)
    if command == "pad":
        return pad(folder, *args)
    if command == "decode":
        ids, skips = json.loads(Path(args[0]).read_text()), args[1] == "true"
        return tokenizer(folder).decode(ids, skip_special_tokens=skips)
    return chat(folder, *args)


if __name__ == "__main__":
    serve(answer)
