"""Jobs that calibrate: a class on the model's own text, killed in a layer, found again, and what happens without a tokenizer."""
import json
import shutil
import unittest

from harness import DEMO, HELD_OUT, ROOT, EndToEnd, run_json, wait_for

PLAIN = 'name = "plain"\nformat = "gguf"\nrecipe = "iq4_nl"\n'


class CalibratedJobs(EndToEnd):
    def start(self, *extra):
        return self.daemon("--evaluation-text", HELD_OUT, "--evaluation-tokens", "256", "--threads", "2", *extra).start()

    def submit(self, daemon, *words, **kwargs):
        return daemon.cli_json("job", "submit", "demo", *words, **kwargs)["name"]

    def finished(self, daemon, job):
        done = self.wait_job(daemon, job)
        self.assertEqual(done["state"], "SUCCEEDED", done)
        return done

    def folders(self, daemon):
        return [p for p in (daemon.data / "calibrations").glob("*") if p.name != "texts"]

    def local(self, *words):
        """The digest of what `quantize` makes of the demo model."""
        made = run_json("quantfleet", "quantize", DEMO, "--target", "gguf:iq4_nl", *words, "--out", self.dir / "out", "--force",
                        "--json")
        return "artifacts/" + made["targets"][0]["manifest_digest"]

    def layers_done(self, daemon):
        for folder in self.folders(daemon):
            try:
                status = json.loads((folder / "calibration.json").read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                continue
            if status["layers_done"] > 0:
                return status
        return None

    def test_killed_in_a_layer_then_found_again(self):
        daemon = self.start()
        daemon.cli("model", "push", "demo", DEMO)
        (self.dir / "plain.toml").write_text(PLAIN)
        daemon.cli("class", "apply", self.dir / "plain.toml")
        job = self.submit(daemon, "--class", "iot-int4,ai-pc-int8,plain")
        status = wait_for("a layer", lambda: self.layers_done(daemon), 300)
        daemon.process.kill()
        self.assertFalse(status["complete"])
        daemon.start()
        done = self.finished(daemon, job)
        self.assertEqual(done["calibration"]["text"], "self")
        self.assertTrue(any("embed_tokens" in note for note in done["notes"]), "what was not measured is named")
        folder, = self.folders(daemon)
        self.assertFalse((folder / ".calibrating").exists())
        calibrated, int8, plain = done["artifacts"]
        # The job's is what the commands make, whether killed or not.
        self.assertEqual(plain, self.local())
        self.assertEqual(calibrated, self.local("--calibration", folder, "--rounding", "feedback"))
        kl = {name: daemon.cli_json("artifact", "show", name)["evaluation"]["mean_kl"] for name in (calibrated, int8, plain)}
        print(f"mean KL: plain {kl[plain]:.4f}, with feedback on the model's own text {kl[calibrated]:.4f}")
        self.assertLess(kl[calibrated], kl[plain])
        self.assertIn("on its own text", daemon.cli("job", "show", job).stdout)

        made_at = (folder / "calibration.json").stat().st_mtime_ns
        again = self.finished(daemon, self.submit(daemon, "--class", "iot-int4"))
        self.assertEqual(again["artifacts"], [calibrated])
        self.assertEqual((folder / "calibration.json").stat().st_mtime_ns, made_at, "it was found")
        folded = self.finished(daemon, self.submit(daemon, "--class", "iot-int4", "--fold", "auto"))
        self.assertEqual(folded["artifacts"],
                         [self.local("--calibration", folder, "--rounding", "feedback", "--fold", "auto")])
        self.assertNotEqual(folded["artifacts"], [calibrated])

    def test_without_a_tokenizer_it_is_plain(self):
        model = self.dir / "model"
        shutil.copytree(DEMO, model, ignore=shutil.ignore_patterns("tokenizer*"))
        daemon = self.start()
        daemon.cli("model", "import", "demo", model)
        done = self.finished(daemon, self.submit(daemon, "--class", "iot-int4"))
        self.assertNotIn("calibration", done)
        self.assertEqual(len(done["notes"]), 1, done["notes"])
        self.assertIn("not calibrated", daemon.cli("job", "show", done["name"]).stdout)

    def test_texts(self):
        daemon = self.start()
        daemon.cli("model", "import", "demo", DEMO)
        refused = daemon.cli("job", "submit", "demo", "--class", "iot-int4", "--calibration", "talks.txt", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("talks.txt", refused.stderr)
        (self.dir / "own.toml").write_text(PLAIN + 'calibration = "talks.txt"\nrounding = "search"\n')
        self.assertNotEqual(daemon.cli("class", "apply", self.dir / "own.toml", check=False).returncode, 0)
        text = self.dir / "talks.txt"
        text.write_text((ROOT / "docs/quality.md").read_text())
        by_file = self.finished(daemon, self.submit(daemon, "--class", "iot-int4", "--calibration", text, "--rounding", "search"))
        (daemon.data / "calibration-texts").mkdir()
        shutil.copy(text, daemon.data / "calibration-texts")
        daemon.cli("class", "apply", self.dir / "own.toml")
        by_class = self.finished(daemon, self.submit(daemon, "--class", "plain"))
        self.assertEqual(by_class["artifacts"], by_file["artifacts"])
        none = self.finished(daemon, self.submit(daemon, "--class", "plain", "--calibration", "none"))
        self.assertEqual(none["artifacts"], [self.local()])


if __name__ == "__main__":
    unittest.main()
