"""Artifacts are measured where they are made, and held against limits where they go; what nobody needs is collected."""
import json
import sys
import unittest

from harness import BIN, DEMO, EDGE, HELD_OUT, IOT, SANITIZED, EndToEnd, run_json, wait_for
from judge import HAS_ONNX, onnx_runtime
from kill import GARBAGE_POINTS

FAST_IOT = """
name = "fast-iot"
format = "{format}"
recipe = "{recipe}"
priority = 99
[match]
form = ["iot"]
{limits}
"""


def blobs(daemon):
    return sorted(p.name for p in (daemon.data / "blobs").rglob("*.*"))


class Measured(EndToEnd):
    def submit(self, daemon, *classes):
        job = daemon.cli_json("job", "submit", "demo", *[x for c in classes for x in ("--class", c)], "--calibration", "none")
        job = self.wait_job(daemon, job["name"])
        self.assertEqual(job["state"], "SUCCEEDED", job)
        self.assertEqual(job["evaluation_error"], "")


class Evaluation(Measured):
    def daemon_with_artifacts(self, *classes, extra=("--evaluation-text", HELD_OUT, "--evaluation-tokens", "200")):
        daemon = self.daemon(*extra).start()
        daemon.cli("model", "push", "demo", DEMO)
        self.submit(daemon, *classes)
        return daemon

    def artifacts(self, daemon, name="{recipe}"):
        return {name.format(**a): daemon.cli_json("artifact", "show", a["name"])
                for a in daemon.cli_json("artifact", "list")["artifacts"]}

    def apply_class(self, daemon, recipe, limits, format="gguf"):
        path = self.dir / "class.toml"
        path.write_text(FAST_IOT.format(format=format, recipe=recipe, limits=limits))
        daemon.cli("class", "apply", path)

    def test_a_text_of_another_kind_than_the_models_is_left_out(self):
        daemon = self.daemon_with_artifacts("iot-int4", extra=("--evaluation-tokens", "64"))
        (name, detail), = self.artifacts(daemon, "{name}").items()
        evaluation = detail["evaluation"]
        self.assertEqual(len(evaluation["golden"]), 3)
        self.assertEqual(int(evaluation.get("tokens", 0)), 0, "tales are all that it knows: the shipped text is not of its kind")
        self.assertNotIn("mean NLL", daemon.cli("artifact", "show", name).stdout)

    def test_four_bits_are_further_from_the_source_than_sixteen(self):
        daemon = self.daemon_with_artifacts("iot-int4", "ai-pc-int8", "edge-fp16")
        found = {recipe: detail["evaluation"] for recipe, detail in self.artifacts(daemon).items()}
        self.assertEqual(set(found), {"iq4_nl", "q8_0", "f16"})
        for evaluation in found.values():
            self.assertEqual(evaluation["reference"], "gguf:bf16")
            self.assertEqual(evaluation["weights"], "AS_SEALED")
            self.assertEqual(len(evaluation["golden"]), 3)
            self.assertLess(evaluation["mean_nll"], 2.0, "the model was trained on such texts")
            self.assertTrue(0 < evaluation["kl_error"] < evaluation["mean_kl"] < evaluation["kl_p99"], evaluation)
        self.assertLess(found["f16"]["mean_kl"], found["q8_0"]["mean_kl"])
        self.assertLess(found["q8_0"]["mean_kl"], found["iq4_nl"]["mean_kl"])
        # Either way: of few tokens a coarser model may find the likelier ones, and its divergence tells.
        self.assertNotEqual(found["iq4_nl"]["mean_nll"], found["iq4_nl"]["reference_mean_nll"])
        self.assertLess(abs(found["iq4_nl"]["mean_nll"] - found["iq4_nl"]["reference_mean_nll"]), 0.2)
        self.assertLess(found["iq4_nl"]["top1_agreement"], found["f16"]["top1_agreement"])
        text = daemon.cli("artifact", "show", self.artifacts(daemon)["iq4_nl"]["artifact"]["name"]).stdout
        self.assertIn("top-1 agreement", text)
        # Golden answers are what a device says to the same ids.
        golden = found["f16"]["golden"][0]
        out = self.dir / "out"
        run_json("quantfleet", "quantize", DEMO, "--target", "gguf:f16", "--out", out, "--json")
        said = run_json("quantfleet-agent", "run", out / "gguf-f16/model.gguf", "--prompt", "Once upon a time", "--greedy",
                        "--max-tokens", "16", "--json")
        self.assertEqual(len(golden["prompt"]), said["prompt_tokens"])
        self.assertEqual(len(golden["answer"]), said["tokens"])

    def test_other_formats_are_measured_by_their_codes(self):
        # One window of the comparison: what a judge reads at once.
        daemon = self.daemon("--evaluation-text", HELD_OUT, "--evaluation-tokens", "64").start()
        daemon.cli("model", "push", "demo", DEMO)
        targets = ("onnx:int8", "onnx:int4", "openvino:int4", "mlx:int4")
        for target in targets:
            name, recipe = target.split(":")
            path = self.dir / "own.toml"
            path.write_text(f'name = "{name}-{recipe}"\nformat = "{name}"\nrecipe = "{recipe}"\n')
            daemon.cli("class", "apply", path)
        self.submit(daemon, *(target.replace(":", "-") for target in targets))
        shown = self.artifacts(daemon, "{format}:{recipe}")
        found = {name: detail["evaluation"] for name, detail in shown.items()}
        self.assertEqual(set(found), set(targets))
        for evaluation in found.values():
            self.assertEqual(evaluation["weights"], "DEQUANTIZED")
            self.assertEqual((evaluation["reference"], len(evaluation["golden"])), ("gguf:bf16", 3))
            self.assertGreater(evaluation["top1_agreement"], 0.8)
        # The same codes in two arrangements, each with its runtime's own KV cache; OpenVINO's embedding has 8 bits.
        self.assertEqual({name: e["kv_type"] for name, e in found.items()},
                         {"onnx:int8": "f32", "onnx:int4": "f32", "openvino:int4": "f32", "mlx:int4": "f16"})
        self.assertAlmostEqual(found["onnx:int4"]["mean_nll"] / found["mlx:int4"]["mean_nll"], 1, delta=1e-4)
        self.assertLess(found["onnx:int8"]["mean_kl"], found["openvino:int4"]["mean_kl"])
        self.assertLess(found["openvino:int4"]["mean_kl"], 0.1)
        text = daemon.cli("artifact", "show", shown["mlx:int4"]["artifact"]["name"]).stdout
        self.assertIn("its dequantized codes", text)
        self.assertFalse((daemon.data / "evaluation").exists())
        if HAS_ONNX:
            self.check_against_onnx_runtime(found)
        # Limits hold for them as for GGUF.
        self.apply_class(daemon, "int4", "[quality]\nmax_kl = 0.0000001", "onnx")
        agent = self.agent("iot")
        agent.enroll(daemon, daemon.token())
        refused = daemon.cli("rollout", "create", "demo", check=False)
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("KL", refused.stderr)

    def check_against_onnx_runtime(self, found):
        out, ids = self.dir / "out", self.dir / "ids.json"
        run_json("quantfleet", "quantize", DEMO, "--target", "onnx:int8-exact", "--target", "onnx:int4-exact", "--target",
                 "gguf:f16", "--out", out, "--json")
        tokens = run_json("quantfleet-agent", "tokenize", out / "gguf-f16/model.gguf", "--text-file", HELD_OUT, "--json")
        ids.write_text(json.dumps(tokens["tokens"][:64]))
        for recipe in ("int8", "int4"):
            judged, measured = onnx_runtime(out / f"onnx-{recipe}-exact", "nll", "--tokens-file", ids), found[f"onnx:{recipe}"]
            print(f"mean NLL onnx:{recipe}: measured {measured['mean_nll']:.6f}, ONNX Runtime {judged['mean_nll']:.6f}",
                  file=sys.stderr)
            self.assertLess(abs(judged["mean_nll"] / measured["mean_nll"] - 1), 0.0001)

    def test_a_class_with_limits_gets_only_what_is_good_enough(self):
        daemon = self.daemon_with_artifacts("iot-int4")
        self.apply_class(daemon, "iq4_nl", "[quality]\nmax_kl = 0.0000001")
        agent = self.agent("iot")
        agent.enroll(daemon, daemon.token())
        refused = daemon.cli("rollout", "create", "demo", check=False)
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("KL", refused.stderr)
        self.apply_class(daemon, "iq4_nl", "[quality]\nmax_kl = 1.0\nmin_top1_agreement = 0.5")
        daemon.cli("rollout", "create", "demo")

    def running_agent(self, daemon):
        agent = self.agent("iot")
        agent.enroll(daemon, daemon.token())
        agent.start()
        daemon.cli("rollout", "create", "demo", "--watch")
        return agent, self.wait_phase(daemon, agent.device_id, "demo", "HEALTHY")

    def failed_rollout(self, daemon, agent):
        wait_for("the class", lambda: daemon.cli_json("device", "show", agent.device_id)["device_class"] == "fast-iot")
        watched = daemon.cli("rollout", "create", "demo", "--watch", check=False)
        self.assertNotEqual(watched.returncode, 0)
        return self.wait_phase(daemon, agent.device_id, "demo", "FAILED")

    def test_a_slow_device_goes_back_to_what_it_ran(self):
        daemon = self.daemon_with_artifacts("iot-int4", "edge-fp16")
        agent, before = self.running_agent(daemon)

        self.apply_class(daemon, "f16", "[health]\nmin_tokens_per_second = 1000000")
        failed = self.failed_rollout(daemon, agent)
        self.assertEqual(failed["reason"], "too_slow")
        self.assertIn("1000000.00", failed["detail"])
        self.assertEqual(failed["active_manifest"], before["active_manifest"])

        self.apply_class(daemon, "f16", "[health]\nmin_memory_available_mib = 1000000")
        daemon.cli("rollout", "create", "demo", "--watch", check=False)
        failed = self.wait_phase(daemon, agent.device_id, "demo", "FAILED", release=3)
        self.assertEqual(failed["reason"], "out_of_memory")

        self.apply_class(daemon, "f16", "[health]\nmin_golden_agreement = 0.9")
        daemon.cli("rollout", "create", "demo", "--watch")
        self.wait_phase(daemon, agent.device_id, "demo", "HEALTHY", release=4)

    @unittest.skipIf(SANITIZED, "a sanitizer wants to be the first that is loaded")
    def test_a_device_that_answers_nonsense_goes_back_to_what_it_ran(self):
        daemon = self.daemon_with_artifacts("iot-int4", "edge-fp16")
        agent, before = self.running_agent(daemon)
        agent.stop()

        self.apply_class(daemon, "f16", "[health]\nmin_golden_agreement = 0.75")
        agent.start(env={"LD_PRELOAD": str(BIN.parent / "lib/libwrong_exp.so")})
        failed = self.failed_rollout(daemon, agent)
        self.assertEqual(failed["reason"], "health_failed")
        self.assertRegex(failed["detail"], r"\d+\.\d %.* 75\.0 %")
        self.assertEqual(failed["active_manifest"], before["active_manifest"])

        # Nothing was wrong with the artifact.
        agent.stop()
        agent.start()
        daemon.cli("rollout", "create", "demo", "--watch")
        healthy = self.wait_phase(daemon, agent.device_id, "demo", "HEALTHY", release=3)
        self.assertNotEqual(healthy["active_manifest"], before["active_manifest"])

    def test_nothing_is_measured_on_request(self):
        daemon = self.daemon_with_artifacts("iot-int4", extra=("--evaluation-tokens", "0"))
        self.assertIsNone(self.artifacts(daemon)["iq4_nl"].get("evaluation"))


class Garbage(Measured):
    def test_what_nobody_needs_is_collected(self):
        daemon = self.daemon().start()
        daemon.cli("model", "push", "demo", DEMO)
        self.submit(daemon, "iot-int4", "edge-fp16")
        names = {a["recipe"]: a["name"] for a in daemon.cli_json("artifact", "list")["artifacts"]}
        agent = self.agent("iot")
        agent.enroll(daemon, daemon.token())
        agent.start()
        daemon.cli("rollout", "create", "demo", "--watch")

        refused = daemon.cli("artifact", "delete", names["iq4_nl"], check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"device {agent.device_id}", refused.stderr)
        before = blobs(daemon)
        self.assertEqual(daemon.cli_json("artifact", "collect")["blobs_removed"], "0")
        daemon.cli("artifact", "delete", names["f16"])
        would = daemon.cli_json("artifact", "collect", "--dry-run")
        self.assertEqual(blobs(daemon), before)
        done = daemon.cli_json("artifact", "collect")
        self.assertEqual(done, would)
        after = blobs(daemon)
        self.assertEqual(len(before) - len(after), int(done["blobs_removed"]))
        self.assertGreater(int(done["bytes_removed"]), 1 << 20)

        # What is left still serves a device that comes new, and what is gone can be made again.
        other = self.agent("iot2", IOT)
        other.enroll(daemon, daemon.token())
        other.start()
        daemon.cli("rollout", "create", "demo", "--watch")
        self.wait_phase(daemon, other.device_id, "demo", "HEALTHY")
        self.submit(daemon, "edge-fp16")
        self.assertEqual(blobs(daemon), before)
        edge = self.agent("edge", EDGE)
        edge.enroll(daemon, daemon.token())
        edge.start()
        daemon.cli("rollout", "create", "demo", "--device", edge.device_id, "--watch")
        self.wait_phase(daemon, edge.device_id, "demo", "HEALTHY")

    def test_a_kill_in_the_middle_loses_nothing_that_is_needed(self):
        daemon = self.daemon().start()
        daemon.cli("model", "push", "demo", DEMO)
        self.submit(daemon, "iot-int4", "edge-fp16")
        names = {a["recipe"]: a["name"] for a in daemon.cli_json("artifact", "list")["artifacts"]}
        daemon.cli("artifact", "delete", names["f16"])
        needed = len(blobs(daemon)) - int(daemon.cli_json("artifact", "collect", "--dry-run")["blobs_removed"])
        self.assertEqual(len(GARBAGE_POINTS), 2)
        for point in GARBAGE_POINTS:
            daemon.stop()
            daemon.start(env={"QUANTFLEET_FAIL_POINT": point}, wait=False)
            wait_for(f"the kill at {point}", lambda: not daemon.process.alive())
            self.assertGreater(len(blobs(daemon)), needed)
        daemon.start()
        wait_for("the rest to go", lambda: len(blobs(daemon)) == needed)
        agent = self.agent("iot")
        agent.enroll(daemon, daemon.token())
        agent.start()
        daemon.cli("rollout", "create", "demo", "--watch")
        self.wait_phase(daemon, agent.device_id, "demo", "HEALTHY")

    def test_the_daemon_collects_at_its_start(self):
        daemon = self.daemon().start()
        daemon.cli("model", "push", "demo", DEMO)
        self.submit(daemon, "iot-int4")
        daemon.cli("artifact", "delete", daemon.cli_json("artifact", "list")["artifacts"][0]["name"])
        self.assertGreater(len(blobs(daemon)), 0)
        daemon.stop()
        daemon.start()
        wait_for("the blobs to go", lambda: blobs(daemon) == [])
        self.assertIn("garbage:", daemon.process.log())


if __name__ == "__main__":
    unittest.main()
