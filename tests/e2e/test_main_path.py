"""The main job: a model goes in, three unequal devices run what fits them."""
import json
import unittest
import urllib.request

from gguf_files import split_gguf
from harness import AI_PC, DEMO, EDGE, HELD_OUT, IOT, EndToEnd, post, run, run_json, tree_digest, wait_for

CLASSES = {"iot-int4": ("iq4_nl", IOT), "ai-pc-int8": ("q8_0", AI_PC), "edge-fp16": ("f16", EDGE)}


class MainPath(EndToEnd):
    def test_three_devices_run_what_fits_them(self):
        daemon = self.daemon().start()
        daemon.cli("model", "push", "demo", DEMO)
        job = daemon.cli_json("job", "submit", "demo", *[x for c in CLASSES for x in ("--class", c)])
        job = self.wait_job(daemon, job["name"])
        self.assertEqual(job["state"], "SUCCEEDED", job)
        self.assertEqual(len(job["artifacts"]), 3)
        artifacts = {a["recipe"]: a for a in daemon.cli_json("artifact", "list")["artifacts"]}
        self.assertEqual(sorted(artifacts), ["f16", "iq4_nl", "q8_0"])
        self.assertLess(int(artifacts["iq4_nl"]["size_bytes"]), int(artifacts["q8_0"]["size_bytes"]))

        token = daemon.token("--uses", "3")
        agents = {}
        for name, (_, facts) in CLASSES.items():
            agent = self.agent(name, facts)
            agent.enroll(daemon, token)
            agents[name] = agent.start("--plain-chat")  # the demo model has no chat template
        for name, agent in agents.items():
            device = wait_for("the device", lambda a=agent: daemon.cli_json("device", "show", a.device_id))
            self.assertEqual(device["device_class"], name, device.get("class_reason"))

        rollout = daemon.cli_json("rollout", "create", "demo")
        final = wait_for("the rollout", lambda: (lambda r: r if r["state"] != "RUNNING" else None)(
            daemon.cli_json("rollout", "status", rollout["name"])), 120)
        self.assertEqual(final["state"], "COMPLETED", final)

        for name, agent in agents.items():
            endpoint = agent.endpoint()
            ask = {"model": "demo", "prompt": "Once upon a time", "max_tokens": 24, "temperature": 0}
            code, answer = post(f"http://{endpoint}/v1/completions", ask)
            self.assertEqual(code, 200, answer)
            text = answer["choices"][0]["text"]
            self.assertGreater(len(text.split()), 5, text)
            self.assertEqual(answer["usage"]["completion_tokens"] > 0, True)
            # What the device runs is what the CLI makes without a daemon, byte for byte.
            recipe = CLASSES[name][0]
            active = [p for p in (agent.state / "models").rglob("model.gguf")]
            self.assertEqual(len(active), 1)
            out = self.dir / "local"
            calibration, = [p for p in (daemon.data / "calibrations").iterdir() if p.name != "texts"]
            rounding = ("--calibration", calibration, "--rounding", "feedback") if recipe == "iq4_nl" else ()
            run("quantfleet", "quantize", DEMO, "--target", f"gguf:{recipe}", *rounding, "--out", out)
            self.assertEqual(active[0].read_bytes(), (out / f"gguf-{recipe}/model.gguf").read_bytes())
            code, answer = post(f"http://{endpoint}/v1/chat/completions", {
                "model": "demo", "messages": [{"role": "user", "content": "Once upon a time"}], "max_tokens": 8})
            self.assertEqual(code, 200, answer)
            self.assertEqual(answer["choices"][0]["message"]["role"], "assistant")
            self.assertEqual(post(f"http://{endpoint}/v1/completions", {"model": "demo"})[0], 400)
            # The demo model was never taught turns: the device says so, in its log and to its daemon.
            detail = agent.status()["models"][0]["detail"]
            self.assertIn("chat template", detail)
            self.assertIn(f"demo release 1: {detail}", agent.process.log())

        # A second version: the same devices move on, the release counter rises, the previous version is kept.
        second = daemon.cli_json("rollout", "create", "demo")
        for agent in agents.values():
            status = self.wait_phase(daemon, agent.device_id, "demo", "HEALTHY", release=2)
            self.assertEqual(int(status["release"]), 2)
        self.assertNotEqual(second["name"], rollout["name"])
        for agent in agents.values():
            self.assertEqual(agent.stop(), 0)
        self.assertEqual(daemon.stop(), 0)

    def test_results_do_not_depend_on_threads_memory_or_company(self):
        digests = set()
        for n, (threads, memory, targets) in enumerate([(1, 64, ["q4_0"]), (2, 512, ["f32", "q4_0", "q8_0", "bf16"]),
                                                        (3, 32, ["q4_0", "f16"])]):
            out = self.dir / str(n)
            run("quantfleet", "quantize", DEMO, *[x for t in targets for x in ("--target", f"gguf:{t}")], "--out", out,
                "--threads", threads, "--memory", memory)
            digests.add(tree_digest(out / "gguf-q4_0"))
        self.assertEqual(len(digests), 1)

    def test_job_finishes_for_a_model_imported_by_path(self):
        daemon = self.daemon().start()
        daemon.cli("model", "import", "demo", DEMO)
        self.assertEqual(daemon.cli_json("model", "show", "demo")["architecture"], "phi3")
        job = daemon.cli_json("job", "submit", "demo", "--class", "iot-int4")
        self.assertEqual(self.wait_job(daemon, job["name"])["state"], "SUCCEEDED")

    def test_quantized_once_equals_gguf_source(self):
        """F32 GGUF made from the folder is a source as good as the folder itself."""
        run("quantfleet", "quantize", DEMO, "--target", "gguf:f32", "--target", "gguf:q8_0", "--out", self.dir / "a")
        run("quantfleet", "quantize", self.dir / "a/gguf-f32/model.gguf", "--target", "gguf:q8_0", "--out", self.dir / "b")
        daemon = self.daemon().start()
        daemon.cli("model", "push", "one-file", self.dir / "a/gguf-f32/model.gguf")
        self.assertEqual(daemon.cli_json("model", "show", "one-file")["format"], "gguf")
        job = daemon.cli_json("job", "submit", "one-file", "--class", "ai-pc-int8")
        self.assertEqual(self.wait_job(daemon, job["name"])["state"], "SUCCEEDED")
        a = run_json("quantfleet-agent", "run", self.dir / "a/gguf-q8_0/model.gguf", "--prompt", "The", "--greedy", "--json",
                     "--max-tokens", 30)
        b = run_json("quantfleet-agent", "run", self.dir / "b/gguf-q8_0/model.gguf", "--prompt", "The", "--greedy", "--json",
                     "--max-tokens", 30)
        self.assertEqual(a["text"], b["text"])

    def test_a_split_gguf_is_the_model_that_was_split(self):
        """Inspected, pushed, imported and quantized; as it is, it is one file again."""
        run("quantfleet", "quantize", DEMO, "--target", "gguf:q8_0", "--out", self.dir)
        whole, split = self.dir / "gguf-q8_0/model.gguf", self.dir / "split"
        split.mkdir()
        shards = split_gguf(whole, split, 3)
        self.assertEqual([t["name"] for t in run_json("quantfleet", "inspect", shards[1], "--json")["tensors"]],
                         [t["name"] for t in run_json("quantfleet", "inspect", whole, "--json")["tensors"]])
        made = run_json("quantfleet", "quantize", split, "--target", "gguf:as-is", "--out", self.dir / "local", "--json")
        self.assertEqual((self.dir / "local/gguf-as-is/model.gguf").read_bytes(), whole.read_bytes())
        refused = run("quantfleet-agent", "run", shards[0], "--prompt", "The", check=False)
        self.assertIn("gguf:as-is", refused.stderr)
        daemon = self.daemon().start()
        (self.dir / "class.toml").write_text('name = "as-is"\nformat = "gguf"\nrecipe = "as-is"\n\n[match]\nform = ["iot"]\n')
        daemon.cli("class", "apply", self.dir / "class.toml")
        for how, path in (("push", split), ("push", shards[2]), ("import", shards[0])):
            with self.subTest(how, path=path.name):
                name = f"{how}-{path.suffix[1:] or 'folder'}"
                model = daemon.cli_json("model", how, name, path)
                self.assertEqual(len(model["files"]), 3)
                job = daemon.cli_json("job", "submit", name, "--class", "as-is")
                job = self.wait_job(daemon, job["name"])
                self.assertEqual(job["state"], "SUCCEEDED", job)
                self.assertEqual(job["artifacts"], ["artifacts/" + made["targets"][0]["manifest_digest"]])
        daemon.cli("model", "push", "folder", DEMO)
        job = daemon.cli_json("job", "submit", "folder", "--class", "as-is")
        failed = self.wait_job(daemon, job["name"])
        self.assertEqual(failed["state"], "FAILED", failed)
        self.assertIn("only a GGUF", str(failed))

    def test_int4_is_measurably_worse_than_fp16(self):
        run("quantfleet", "quantize", DEMO, "--target", "gguf:f16", "--target", "gguf:q4_0", "--out", self.dir / "a")
        nll = {r: run_json("quantfleet-agent", "eval", self.dir / f"a/gguf-{r}/model.gguf", "--text-file", HELD_OUT,
                           "--max-tokens", 512, "--json")["mean_nll"] for r in ("f16", "q4_0")}
        self.assertGreater(nll["q4_0"], nll["f16"] * 1.02, nll)

    def test_http_side_serves_probes_and_metrics(self):
        import ssl
        daemon = self.daemon().start()
        context = ssl.create_default_context(cadata=json.loads((daemon.data / "admin.json").read_text())["ca_pem"])
        context.check_hostname = False
        for path, want in (("/livez", ""), ("/readyz", ""), ("/metrics", "quantfleet_")):
            with urllib.request.urlopen(f"https://{daemon.http}{path}", context=context) as answer:
                self.assertEqual(answer.status, 200)
                self.assertIn(want, answer.read().decode())


if __name__ == "__main__":
    unittest.main()
