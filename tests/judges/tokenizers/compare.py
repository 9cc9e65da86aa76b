"""Our tokenizer beside PyPI's `tokenizers`: ids of strings, and the text of the ids.

usage: compare.py TOKENIZE TOKENIZER.json [--count N] [--seed S] [--ours FILE.gguf | --written FILE.json] [--young]
  TOKENIZE  the program of tests/tools/tokenize.cc
  --ours    our side reads this file instead
  --written our side is `tokenizers` with this file, which we wrote
  --young   leaves out characters of which the two have unlike tables: `tokenizers` knows punctuation and marks of Unicode 8
Prints one JSON object: how many strings, how many of them with other ids or another text, and the first few.
"""
import argparse
import json
import subprocess

import strings
import tokenizers


def young(text):
    """A character that Unicode 9 or later made a mark, punctuation, or of another form."""
    from tokenizers import normalizers, pre_tokenizers
    import unicodedata
    punctuation, accents = pre_tokenizers.Punctuation(), normalizers.StripAccents()
    scripts = pre_tokenizers.UnicodeScripts()
    plain = dict(clean_text=False, handle_chinese_chars=False, lowercase=False)
    spacing = normalizers.BertNormalizer(strip_accents=True, **plain)
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    for c in set(text):
        category = unicodedata.category(c)
        ascii_mark = 32 < ord(c) < 127 and not c.isalnum()
        if ((len(punctuation.pre_tokenize_str("a" + c + "b")) == 3) != (category[0] == "P" or ascii_mark)
                or (accents.normalize_str(c) == "") != (category[0] == "M")
                or (spacing.normalize_str(c) == "") != (category == "Mn")
                or (clean.normalize_str(c) == "") != (c in "\0\ufffd" or (category in ("Cc", "Cf", "Co") and c not in "\t\n\r"))
                # Younger than its table of scripts.
                or (c != " " and not scripts.pre_tokenize_str(c) and category != "Cn")
                or (category == "Nd" and not c.isascii() and unicodedata.normalize("NFD", c) != c)):
            return True
    return False


def ask(program, file, asked):
    """What our program makes of strings."""
    ran = subprocess.run([program, file], input="".join(json.dumps(s) + "\n" for s in asked), capture_output=True, text=True,
                         check=False)
    if ran.returncode:
        raise SystemExit(json.dumps({"error": ran.stderr.strip()}))
    return [json.loads(line) for line in ran.stdout.rstrip("\n").split("\n")]


def ask_tokenizers(file, asked):
    written = tokenizers.Tokenizer.from_file(file)
    ids = [written.encode(s).ids for s in asked]
    return [{"ids": i, "text": written.decode(i)} for i in ids]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenize")
    parser.add_argument("file")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--ours")
    parser.add_argument("--written")
    parser.add_argument("--young", action="store_true")
    args = parser.parse_args()
    judge = tokenizers.Tokenizer.from_file(args.file)
    with open(args.file) as f:
        added = [token["content"] for token in json.load(f)["added_tokens"]][:60]
    asked = [s for s in strings.strings(args.count, args.seed, added) if not (args.young and young(s))]
    answers = ask_tokenizers(args.written, asked) if args.written else ask(args.tokenize, args.ours or args.file, asked)
    result = {"strings": len(asked), "other_ids": 0, "other_text": 0, "first": []}
    for string, ours in zip(asked, answers, strict=True):
        ids = judge.encode(string).ids
        text = judge.decode(ids)
        # What begins a text is for tokenizer_config.json to say, of which only the GGUF knows.
        if ours.get("ids") != ids and not ((args.ours or args.written) and ours.get("ids", [])[1:] == ids):
            result["other_ids"] += 1
        elif ours["text"] != text:
            result["other_text"] += 1
        else:
            continue
        if len(result["first"]) < 4:
            result["first"].append({"string": string, "ids": ids, "text": text, "ours": ours})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
