"""`calibrate` on tiny models: its files as llama.cpp makes and takes them, killed and resumed, and what it refuses."""
import hashlib
import json
import signal
import struct
import subprocess
import time
import unittest

from gguf_files import read_gguf
from harness import BIN, HELD_OUT, SANITIZED, SLOW, EndToEnd, run, run_json
from judge import LLAMA_CPP
from test_recipes import llama_quantize

FILES = ("importance.gguf", "second_moments.gguf", "calibration.json")
SHAPES = {"phi3": dict(hidden=256, intermediate=512, layers=3), "llama": dict(hidden=256, intermediate=512, layers=3, tied=1),
          "phi2": dict(hidden=256, intermediate=512, layers=2),
          "qwen3moe": dict(hidden=256, layers=2, head_dim=128, experts=5, expert_width=256)}


def floats(raw):
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def make_model(folder, name, **more):
    run("tiny_model", folder, name, *[f"{k}={v}" for k, v in {**SHAPES[name], **more}.items()])
    return folder


def sums_of(path):
    """By tensor of the model: its counts, its sums of squares."""
    tensors = read_gguf(path)[1]
    return {name[:-len(".in_sum2")]: (floats(tensors[name.replace(".in_sum2", ".counts")][2]), floats(raw))
            for name, (_, _, raw) in tensors.items() if name.endswith(".in_sum2")}


def head_sums_of(path, head):
    """What the head has, under a name of its own that llama-quantize does not know."""
    return sums_of(path)[head + ".as_head"]


class Calibrate(EndToEnd):
    def calibrate(self, source, out, *options, text=HELD_OUT, **kwargs):
        words = ["--text", text] if text else []
        if "--chunks" not in options:
            words += ["--chunks", 6]
        return run_json("quantfleet", "calibrate", source, *words, "--chunk", 64, "--out", self.dir / out, "--json", *options,
                        **kwargs)

    def refused(self, source, out, *options, text=HELD_OUT):
        words = ["--text", text] if text else []
        done = run("quantfleet", "calibrate", source, *words, "--out", self.dir / out, *options, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def gguf(self, model, recipe):
        out = self.dir / f"{model.name}-{recipe}"
        run("quantfleet", "quantize", model, "--target", f"gguf:{recipe}", "--out", out)
        return out / f"gguf-{recipe}/model.gguf"

    def bytes_of(self, folder, files=FILES):
        return {name: (self.dir / folder / name).read_bytes() for name in files}

    def test_folders_ggufs_and_threads(self):
        model = make_model(self.dir / "m", "llama")
        made = self.calibrate(model, "folder", "--second-moments", "--threads", 1)
        self.assertEqual((made["tokens"], made["chunks"], made["layers"]), (384, 6, 3))
        status = json.loads((self.dir / "folder/calibration.json").read_text())
        self.assertTrue(status["complete"])
        self.assertEqual({p.name for p in (self.dir / "folder").iterdir()}, set(FILES), "nothing else is left")
        # The same digest as that of any artifact of the model.
        artifact = run_json("quantfleet", "quantize", model, "--target", "gguf:q4_0", "--out", self.dir / "q", "--json")
        self.assertEqual(status["source_digest"], artifact["source_digest"])
        self.calibrate(model, "again", "--second-moments", "--threads", 2)
        self.assertEqual(self.bytes_of("folder"), self.bytes_of("again"))
        self.calibrate(self.gguf(model, "bf16"), "gguf", "--second-moments")
        self.assertEqual(self.bytes_of("folder", FILES[:2]), self.bytes_of("gguf", FILES[:2]))

    def test_second_moments_are_whole_triangles(self):
        # The last one is the head's.
        for name, expected in (("phi3", 3 * 4 + 1), ("phi2", 2 * 3 + 1), ("qwen3moe", 2 * (2 + 2 * 5) + 1)):
            with self.subTest(name):
                self.calibrate(make_model(self.dir / name, name), f"{name}-out", "--second-moments")
                keys, tensors = read_gguf(self.dir / f"{name}-out/second_moments.gguf")
                self.assertEqual(keys["general.type"], "second_moments")
                self.assertEqual(len(tensors), expected)
                sums = sums_of(self.dir / f"{name}-out/importance.gguf")
                sums["output.weight"] = head_sums_of(self.dir / f"{name}-out/importance.gguf", "output.weight")
                for shared in keys["quantfleet.shared_inputs"]:
                    self.assertIn(shared.split("=")[1] + ".in_xx", tensors)
                    other, first = (name.partition(".weight") for name in shared.split("="))
                    self.assertEqual(other[2], first[2], "of the same expert")
                    self.assertEqual(sums[other[0] + ".weight"], sums[first[0] + ".weight"])
                for tensor, (_, _, raw) in tensors.items():
                    weight, _, expert = tensor[:-len(".in_xx")].partition(".weight")
                    counts, squares = sums[weight + ".weight"]
                    at, cols = int(expert[1:] or 0), len(squares) // len(counts)
                    triangle = floats(raw)
                    for i, square in enumerate(squares[at * cols:(at + 1) * cols]):
                        self.assertAlmostEqual(triangle[i * (i + 1) // 2 + i], square, delta=1e-4 * square + 1e-6)

    @unittest.skipUnless(LLAMA_CPP.exists(), "the judges are not installed (tests/judges/install.sh)")
    def test_sums_are_llama_cpps(self):
        for name in ["phi3", "qwen3moe"] if SANITIZED else SHAPES:
            with self.subTest(name):
                f32 = self.gguf(make_model(self.dir / name, name), "f32")
                self.calibrate(f32, f"{name}-out")
                ours = {name: sums for name, sums in sums_of(self.dir / f"{name}-out/importance.gguf").items()
                        if not name.endswith(".as_head")}
                judged = subprocess.run([BIN / "llama_imatrix", LLAMA_CPP, f32, HELD_OUT, "64", "6"], capture_output=True,
                                        text=True, timeout=100 * SLOW, check=True)
                theirs = json.loads(judged.stdout)
                self.assertEqual(set(ours), set(theirs))
                most = 1e-3 if name == "phi2" else 1e-5  # its GELU is a table of F16 there
                for tensor, (counts, squares) in ours.items():
                    self.assertEqual(list(counts), theirs[tensor]["counts"], tensor)
                    usual = sum(squares) / len(squares)
                    for a, b in zip(squares, theirs[tensor]["squares"]):
                        self.assertLess(abs(a - b), most * max(b, usual), tensor)

    @unittest.skipUnless(LLAMA_CPP.exists(), "the judges are not installed (tests/judges/install.sh)")
    def test_quantizers_take_it(self):
        for name in ("phi3", "qwen3moe"):
            model = make_model(self.dir / name, name)
            f32 = self.gguf(model, "f32")
            self.calibrate(model, f"{name}-out")
            imatrix = self.dir / f"{name}-out/importance.gguf"
            run("quantfleet", "quantize", model, "--target", "gguf:q4_0", "--target", "gguf:q4_k_m", "--imatrix", imatrix,
                "--out", self.dir / f"{name}-made")
            for recipe in ("q4_0", "q4_k_m"):
                with self.subTest(model=name, recipe=recipe):
                    ours = read_gguf(self.dir / f"{name}-made/gguf-{recipe}/model.gguf")
                    theirs = llama_quantize(f32, self.dir / "theirs.gguf", recipe, "--imatrix", imatrix)
                    self.assertEqual(ours[1], theirs[1])

    def test_rounding_reads_it(self):
        for name in ("phi3", "qwen3moe"):
            with self.subTest(name):
                model = make_model(self.dir / name, name)
                self.calibrate(model, f"{name}-out", "--second-moments")
                made = run_json("quantfleet", "quantize", model, "--target", "gguf:q4_0", "--rounding", "feedback",
                                "--calibration", self.dir / f"{name}-out", "--out", self.dir / f"{name}-made", "--json")
                # Every layer's matrices have second moments, each expert's and the head's too; the embedding's rows are
                # looked up.
                named = " ".join(made["notes"])
                self.assertIn("embed_tokens.weight", named)
                self.assertNotIn("lm_head", named)
                self.assertNotIn("layers", named)
        other = make_model(self.dir / "other", "phi3", seed=5)
        done = run("quantfleet", "quantize", other, "--target", "gguf:q4_0", "--calibration", self.dir / "phi3-out", "--out",
                   self.dir / "refused", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertFalse((self.dir / "refused").exists(), "before anything is made")
        status = json.loads((self.dir / "phi3-out/calibration.json").read_text())
        self.assertIn(status["source_digest"], done.stderr)

    def test_feedback_on_a_text_of_one_token(self):
        """Every chunk is the same: what goes together says nothing of other texts, but must not make them impossible."""
        source = make_model(self.dir / "llama", "llama")
        text = self.dir / "one.txt"
        text.write_text("e" * 4000)
        done = run("quantfleet", "calibrate", source, "--text", text, "--chunk", 64, "--chunks", 6, "--second-moments", "--out",
                   self.dir / "one")
        self.assertIn("are one and the same", done.stderr)
        made = {}
        for how in ("nearest", "search", "feedback"):
            words = () if how == "nearest" else ("--calibration", self.dir / "one", "--rounding", how)
            run("quantfleet", "quantize", source, "--target", "gguf:q4_0", *words, "--out", self.dir / how)
            run("quantfleet", "quantize", self.dir / how / "gguf-q4_0/model.gguf", "--target", "gguf:f32", "--out",
                self.dir / f"{how}-values")
            made[how] = read_gguf(self.dir / f"{how}-values/gguf-f32/model.gguf")[1]
        exact = read_gguf(self.gguf(source, "f32"))[1]

        def error(how):
            return sum((a - b) ** 2 for name, (_, dims, raw) in exact.items() if len(dims) > 1
                       for a, b in zip(floats(raw), floats(made[how][name][2])))
        # All columns go together, so that their errors move between them; damping bounds by how much.
        self.assertLess(error("search"), 2 * error("nearest"))
        self.assertLess(error("feedback"), 10 * error("nearest"))

    def test_killed_in_any_layer(self):
        model = self.gguf(make_model(self.dir / "m", "llama", layers=5, intermediate=1024), "bf16")
        words = ["--second-moments", "--ranges", "--threads", 1, "--chunks", 24]
        self.calibrate(model, "whole", *words)
        files = (*FILES, "ranges.json")
        command = [BIN / "quantfleet", "calibrate", model, "--text", HELD_OUT, "--chunk", 64, *words]
        for layer in range(5):
            out = self.dir / f"killed-{layer}"
            process = subprocess.Popen([*map(str, command), "--out", out], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            while process.poll() is None and self.layers_done(out) < layer:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            if process.wait() == 0:
                continue  # it was whole before
            resumed = self.calibrate(model, out.name, *words, "--resume")
            self.assertGreaterEqual(resumed["layers_resumed"], layer)
            self.assertEqual(self.bytes_of("whole", files), self.bytes_of(out.name, files))

    def test_ranges_name_every_step_and_their_file_its_digest(self):
        self.calibrate(make_model(self.dir / "m", "phi2"), "ranges", "--ranges")
        raw = self.bytes_of("ranges", ("ranges.json",))["ranges.json"]
        status = json.loads((self.dir / "ranges/calibration.json").read_text())
        self.assertEqual(status["ranges_digest"], hashlib.sha256(raw).hexdigest())
        ranges = {a["name"]: a for a in json.loads(raw)["activations"]}
        steps = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_q_turned", "attn_k_turned", "attn_scores", "attn_heads",
                 "attn_output", "attn_residual", "ffn_up", "ffn_activated", "ffn_down", "ffn_residual")
        self.assertEqual(set(ranges), {"token_embd", "output_norm", "logits",
                                       *(f"blk.{layer}.{step}" for layer in range(2) for step in steps)})
        for name, one in ranges.items():
            low, _, _, high = one["percentiles"]
            self.assertTrue(one["min"] <= low <= high <= one["max"], name)
        self.assertEqual(ranges["blk.0.attn_norm"]["values"], 6 * 64 * 256)

    @staticmethod
    def layers_done(folder):
        path = folder / "calibration.json"
        return json.loads(path.read_text())["layers_done"] if path.exists() else -1

    def test_the_model_writes_its_own_text(self):
        model = make_model(self.dir / "m", "phi3")
        self.calibrate(model, "one", "--threads", 1, text=None)
        status = json.loads((self.dir / "one/calibration.json").read_text())
        self.assertEqual((status["text"], status["seed"], status["tokens"]), ("self", 1, 384))
        self.calibrate(model, "two", "--self", "--threads", 2, text=None)
        self.assertEqual(self.bytes_of("one", FILES[:1]), self.bytes_of("two", FILES[:1]))
        self.calibrate(model, "other", "--seed", 2, text=None)
        other = json.loads((self.dir / "other/calibration.json").read_text())
        self.assertNotEqual(status["tokens_digest"], other["tokens_digest"])
        self.assertEqual(run("quantfleet", "calibrate", model, "--self", "--text", HELD_OUT, "--out", self.dir / "x",
                             check=False).returncode, 2)

    def test_what_it_takes_is_said_before(self):
        model = make_model(self.dir / "m", "phi3")
        gguf = self.gguf(model, "f16")
        cost = run_json("quantfleet", "calibrate", gguf, "--chunk", 64, "--dry-run", "--json", "--second-moments")
        self.assertEqual((cost["tokens"], cost["layers"]), (1280, 3))
        self.assertEqual(cost["second_moments_bytes"], 4 * ((3 * 3 + 1) * 256 * 257 // 2 + 3 * 512 * 513 // 2))
        self.assertGreater(cost["pass_seconds"], 0)
        self.assertGreater(cost["writing_seconds"], 0)
        self.assertGreater(cost["memory_bytes"], 1280 * 256 * 4)
        self.assertEqual(cost["copy_bytes"], 0)
        # A folder's copy, which the engine runs.
        cost = run_json("quantfleet", "calibrate", model, "--chunk", 64, "--dry-run", "--json")
        copy = self.gguf(model, "bf16").parent
        self.assertEqual(cost["copy_bytes"], sum(p.stat().st_size for p in copy.iterdir() if p.name != "manifest.pb"))

    def test_what_is_refused(self):
        model = make_model(self.dir / "m", "llama")
        short = self.dir / "short.txt"
        short.write_text("too short")
        self.assertIn("short.txt", self.refused(model, "x", "--chunk", 64, text=short))
        short.write_bytes(b"\xff\xfe" + 1000 * b"ab ")
        self.assertIn("UTF-8", self.refused(model, "x", text=short))
        short.write_text(2000 * "a")
        done = run("quantfleet", "calibrate", model, "--text", short, "--chunk", 64, "--out", self.dir / "a")
        self.assertIn("warning", done.stderr)
        self.calibrate(model, "whole")
        self.assertIn("--force", self.refused(model, "whole", "--chunk", 64))
        wide = ["--chunk", 64, "--chunks", 40]
        takes = run_json("quantfleet", "calibrate", model, "--text", HELD_OUT, *wide, "--dry-run", "--json")["memory_bytes"]
        self.assertIn("use --chunks", self.refused(model, "x", *wide, "--memory", takes >> 20))
        encoder = self.dir / "encoder"
        run("tiny_model", encoder, "bert")
        self.assertIn("bert", self.refused(encoder, "x"))


if __name__ == "__main__":
    unittest.main()
