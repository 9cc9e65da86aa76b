"""What lies, is cut or comes from a stranger is refused with a message that names it, and leaves nothing behind."""
import json
import os
import shutil
import struct
import subprocess
import unittest

from harness import DEMO, IOT, EndToEnd, read_safetensors, run, wait_for, write_safetensors


class BadModels(EndToEnd):
    def setUp(self):
        super().setUp()
        self.model = self.dir / "model"
        shutil.copytree(DEMO, self.model)
        self.weights = self.model / "model.safetensors"

    def refused(self, *words, source=None, env=None, options=()):
        out = self.dir / "out"
        done = run("quantfleet", "quantize", source or self.model, *options, "--target", "gguf:q4_0", "--out", out,
                   check=False, env=env)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        leftovers = list(out.rglob("*")) if out.exists() else []
        self.assertEqual(leftovers, [], "something half-done is visible")

    def test_cut_safetensors(self):
        raw = self.weights.read_bytes()
        self.weights.write_bytes(raw[:len(raw) // 2])
        self.refused("model.safetensors")

    def test_header_longer_than_the_file(self):
        self.weights.write_bytes(struct.pack("<Q", 1 << 62) + self.weights.read_bytes()[8:])
        self.refused("model.safetensors")

    def test_overlapping_tensors(self):
        header, data = read_safetensors(self.weights)
        names = [n for n in header if n != "__metadata__" and header[n]["shape"] == header["model.norm.weight"]["shape"]]
        header[names[0]]["data_offsets"] = header[names[1]]["data_offsets"]
        write_safetensors(self.weights, header, data)
        self.refused("model.safetensors", "512 bytes")

    def test_shape_that_contradicts_its_offsets(self):
        header, data = read_safetensors(self.weights)
        header["model.norm.weight"]["shape"] = [1 << 40, 1 << 40]
        write_safetensors(self.weights, header, data)
        self.refused("model.norm.weight")

    def test_dtype_nobody_publishes(self):
        header, data = read_safetensors(self.weights)
        header["model.norm.weight"]["dtype"] = "I64"
        write_safetensors(self.weights, header, data)
        self.refused("model.norm.weight", "I64")

    def test_nan_names_the_tensor(self):
        header, data = read_safetensors(self.weights)
        data = bytearray(data)
        at = header["lm_head.weight"]["data_offsets"][0] + 2 * 1000
        data[at:at + 2] = b"\xc0\x7f"
        write_safetensors(self.weights, header, bytes(data))
        self.refused("lm_head.weight")

    def test_terminal_escapes_in_names_are_written_out(self):
        config = json.loads((self.model / "config.json").read_text())
        config.update(model_type="mamba", architectures=["\x1b]0;owned\x07\u009b2J\n"])
        (self.model / "config.json").write_text(json.dumps(config))
        self.refused("\\x1b]0;owned\\x07\\u009b2J\\n")
        done = run("quantfleet", "inspect", self.model, check=False)
        for steers in ("\x1b", "\x07", "\u009b"):
            self.assertNotIn(steers, done.stdout + done.stderr)

    def test_unknown_architecture(self):
        config = json.loads((self.model / "config.json").read_text())
        config.update(model_type="mamba", architectures=["MambaForCausalLM"])
        (self.model / "config.json").write_text(json.dumps(config))
        self.refused("MambaForCausalLM", "nearest", "Phi3ForCausalLM", "LlamaForCausalLM")

    def edit(self, **members):
        path = self.model / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **members}))

    def keep(self, wanted):
        """Writes the weights anew with the tensors of which `wanted(name)` is true."""
        header, data = read_safetensors(self.weights)
        kept, raw = {}, b""
        for name, tensor in header.items():
            if name == "__metadata__" or not wanted(name):
                continue
            part = data[slice(*tensor["data_offsets"])]
            kept[name] = {**tensor, "data_offsets": [len(raw), len(raw) + len(part)]}
            raw += part
        write_safetensors(self.weights, kept, raw)

    def test_a_layer_that_is_missing_or_too_many(self):
        layers = json.loads((self.model / "config.json").read_text())["num_hidden_layers"]
        self.edit(num_hidden_layers=layers + 1)
        self.refused(f"model.layers.{layers}.", f"layers is not {layers + 1}")
        self.edit(num_hidden_layers=layers - 1)
        self.refused(f"model.layers.{layers - 1}.", f"layers is {layers - 1}")
        self.edit(num_hidden_layers=layers)
        self.keep(lambda name: not name.startswith("model.layers.1."))
        self.refused("model.layers.1.", "missing")

    def test_a_config_that_contradicts_its_tensors(self):
        width = json.loads((self.model / "config.json").read_text())["intermediate_size"]
        self.edit(intermediate_size=width * 2)
        self.refused("model.layers.0.mlp.gate_up_proj.weight", f"[{width * 2}, ", f"row {width * 2}")

    def test_experts_that_are_missing_or_routed_out_of_range(self):
        shutil.rmtree(self.model)
        run("tiny_model", self.model, "qwen3moe", "layers=1")
        self.edit(num_experts_per_tok=7)
        self.refused("num_experts_per_tok is 7", "num_experts", "6")
        self.edit(num_experts_per_tok=2, num_experts=7)
        self.refused("num_experts is 7")
        self.edit(num_experts=6)
        self.keep(lambda name: ".experts.3." not in name)
        self.refused("model.layers.0.mlp.experts.3.", "num_experts is 6")

    def test_eight_bit_floats_without_their_scales(self):
        header, data = read_safetensors(self.weights)
        name = "model.layers.0.mlp.down_proj.weight"
        begin, end = header[name]["data_offsets"]
        half = (end - begin) // 2
        for tensor in header.values():
            if "data_offsets" in tensor and tensor["data_offsets"][0] >= end:
                tensor["data_offsets"] = [at - half for at in tensor["data_offsets"]]
        header[name].update(dtype="F8_E4M3", data_offsets=[begin, begin + half])
        write_safetensors(self.weights, header, data[:begin + half] + data[end:])
        self.edit(quantization_config={"quant_method": "fp8"})
        self.refused(name, "_scale", "original model")

    def test_an_adapter_of_another_model_with_both_names(self):
        lora = self.dir / "lora"
        lora.mkdir()
        (lora / "adapter_config.json").write_text(json.dumps(
            {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "base_model_name_or_path": "acme/other"}))
        module = "base_model.model.model.layers.0.self_attn.q_proj"  # Phi-3 has q, k and v in one
        write_safetensors(lora / "adapter_model.safetensors", {
            f"{module}.lora_A.weight": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
            f"{module}.lora_B.weight": {"dtype": "F32", "shape": [2, 1], "data_offsets": [8, 16]}}, bytes(16))
        self.refused(str(lora), "q_proj", "model", "acme/other", options=("--lora", lora))

    def test_missing_shard(self):
        header, _ = read_safetensors(self.weights)
        os.rename(self.weights, self.model / "model-00001-of-00002.safetensors")
        names = [n for n in header if n != "__metadata__"]
        index = {"metadata": {}, "weight_map": {n: "model-0000%d-of-00002.safetensors" % (1 + (n == names[0])) for n in names}}
        (self.model / "model.safetensors.index.json").write_text(json.dumps(index))
        self.refused("model-00002-of-00002.safetensors")

    def test_missing_tokenizer(self):
        (self.model / "tokenizer.model").unlink()
        self.refused("tokenizer")

    def test_lying_gguf(self):
        run("quantfleet", "quantize", self.model, "--target", "gguf:f16", "--out", self.dir / "good")
        good = (self.dir / "good/gguf-f16/model.gguf").read_bytes()
        bad = self.dir / "bad.gguf"
        for change in (good[:len(good) // 2], good[:8] + struct.pack("<Q", 1 << 60) + good[16:], b"GGUF" + b"\xff" * 64):
            bad.write_bytes(change)
            self.refused("bad.gguf", source=bad)
            done = run("quantfleet-agent", "run", bad, "--prompt", "x", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("bad.gguf", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small disk needs root")
    def test_disk_full(self):
        small = self.dir / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", small], capture_output=True).returncode:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(subprocess.run, ["umount", small])
        done = run("quantfleet", "quantize", self.model, "--target", "gguf:f32", "--out", small / "out", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "[Nn]o space left|disk")
        self.assertEqual([p for p in small.rglob("*") if p.is_file()], [])


# Nobody writes into these pipes: whoever opens one and waits, waits for ever.
class Pipes(EndToEnd):
    def pipe(self, name):
        path = self.dir / name
        os.mkfifo(path, 0o600)
        return path

    def refused(self, *args):
        done = run(*args, check=False, timeout=20)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn("is a pipe, not a file", done.stderr)

    def test_models(self):
        out = ("--target", "gguf:f16", "--out", self.dir / "out")
        model = self.dir / "model"
        shutil.copytree(DEMO, model)
        for name in ("model.safetensors", "config.json", "tokenizer.model"):
            kept = (model / name).read_bytes()
            (model / name).unlink()
            os.mkfifo(model / name)
            self.refused("quantfleet", "quantize", model, *out)
            self.refused("quantfleet", "inspect", model) if name != "tokenizer.model" else None
            (model / name).unlink()
            (model / name).write_bytes(kept)
        gguf = self.pipe("model.gguf")
        self.refused("quantfleet", "quantize", gguf, *out)
        self.refused("quantfleet", "inspect", gguf)
        self.refused("quantfleet", "quantize", model, *out, "--imatrix", self.pipe("imatrix.gguf"))
        self.refused("quantfleet", "quantize", model, "--target", f"gguf:{self.pipe('recipe.toml')}", *out[2:])
        self.refused("quantfleet-agent", "tokenize", gguf, "--text", "x")
        self.refused("quantfleet-agent", "eval", gguf, "--text", "x")

    def test_configuration_and_credentials(self):
        pipe = self.pipe("pipe")
        self.refused("quantfleet", "--credential", pipe, "status")
        self.refused("quantfleet-agent", "enroll", "--state", self.dir / "state", "--server", "localhost:1",
                     "--token-file", pipe)
        config = self.dir / "quantfleetd.toml"
        for section, key in (("evaluation", "text"), ("enrollment", "ca")):
            config.write_text(f'data = "{self.dir / key}"\nlisten = "127.0.0.1:0"\nhttp = "127.0.0.1:0"\n'
                              f'[{section}]\n{key} = "{pipe}"\n')
            self.refused("quantfleetd", "--config", config)
        self.refused("quantfleetd", "--config", pipe)

    def test_daemon_goes_on_and_stops(self):
        daemon = self.daemon().start()
        model = self.dir / "model"
        shutil.copytree(DEMO, model)
        (model / "model.safetensors").unlink()
        os.mkfifo(model / "model.safetensors")
        for verb in ("import", "push"):
            done = daemon.cli("model", verb, verb, model, check=False, timeout=20)
            self.assertIn("is a pipe, not a file", done.stderr)
        daemon.cli("model", "push", "demo", DEMO)
        daemon.stop()


class Strangers(EndToEnd):
    def test_tokens(self):
        daemon = self.daemon().start()
        agent = self.agent("a")
        token = daemon.token("--uses", "1")
        tampered = token.split(".")
        tampered[2] = tampered[2][::-1]
        done = agent.enroll(daemon, ".".join(tampered), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn(tampered[2], done.stderr, "a secret is never repeated")
        agent.enroll(daemon, token)
        self.assertNotEqual(self.agent("b").enroll(daemon, token, check=False).returncode, 0, "it was for one device")
        revoked = daemon.cli_json("token", "create")
        daemon.cli("token", "revoke", revoked["token"]["id"])
        self.assertIn("revoked", self.agent("c").enroll(daemon, revoked["secret"], check=False).stderr)

    def test_token_of_another_daemon_is_not_sent_to_this_one(self):
        one, other = self.daemon(name="one").start(), self.daemon(name="other").start()
        done = self.agent("a").enroll(one, other.token(), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("certificate", done.stderr.lower())
        self.assertEqual(one.cli_json("device", "list").get("devices", []), [])

    def test_revoked_device_is_refused_at_its_next_request(self):
        daemon = self.daemon().start()
        agent = self.agent("a")
        agent.enroll(daemon, daemon.token())
        device = agent.device_id
        agent.start()
        wait_for("the first check-in", lambda: int(daemon.cli_json("device", "show", device)["last_seen_ms"]) > 0)
        daemon.cli("device", "revoke", device)
        wait_for("the refusal", lambda: "revoked" in agent.process.log())

    def test_foreign_operator_is_refused(self):
        one, other = self.daemon(name="one").start(), self.daemon(name="other").start()
        credential = json.loads((other.data / "admin.json").read_text())
        mine = json.loads((one.data / "admin.json").read_text())
        credential.update(server=mine["server"], ca_pem=mine["ca_pem"])
        path = self.dir / "foreign.json"
        path.write_text(json.dumps(credential))
        path.chmod(0o600)
        done = run("quantfleet", "--credential", path, "status", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("chmod", done.stderr)

    def test_tampered_blob_is_fetched_again_and_never_activated(self):
        daemon = self.daemon().start()
        daemon.cli("model", "import", "demo", DEMO)
        job = daemon.cli_json("job", "submit", "demo", "--class", "iot-int4", "--calibration", "none")
        job = self.wait_job(daemon, job["name"])
        artifact = job["artifacts"][0]
        blobs = sorted((p for p in (daemon.data / "blobs").rglob("*.*") if p.is_file()), key=lambda p: p.stat().st_size)
        whole = blobs[-1].read_bytes()
        blobs[-1].write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        agent = self.agent("a", IOT)
        agent.enroll(daemon, daemon.token())
        agent.start()
        daemon.cli("rollout", "create", "demo")
        device = agent.device_id
        failed = self.wait_phase(daemon, device, "demo", "FAILED")
        self.assertEqual(failed["reason"], "verify_failed")
        self.assertFalse(failed.get("active_manifest"))
        # What the device reports makes the daemon look at its blobs, and make the damaged one again. After
        # that a new release goes through; only what is missing is pulled.
        wait_for("the blob to be made again", lambda: blobs[-1].exists() and blobs[-1].read_bytes() == whole)
        wait_for("the mark to go", lambda: not daemon.cli_json("artifact", "show", artifact)["artifact"].get("damage"))
        daemon.cli("rollout", "create", "demo")
        healthy = self.wait_phase(daemon, device, "demo", "HEALTHY", release=2)
        self.assertLess(int(healthy["bytes_pulled"]), int(healthy["bytes_total"]))


if __name__ == "__main__":
    unittest.main()
