"""The best mix for a byte budget, through the program: within the budget, the same whatever the threads, gone on with after
a kill, and refused below the smallest."""
import json
import signal
import subprocess
import time
import unittest

from harness import BIN, HELD_OUT, EndToEnd, run, run_json


class FitTest(EndToEnd):
    def setUp(self):
        super().setUp()
        self.source = self.dir / "model"
        run("tiny_model", self.source, "llama", "hidden=128", "intermediate=256", "layers=3", "tied=1")
        self.calibration = self.dir / "calibration"
        run("quantfleet", "calibrate", self.source, "--text", HELD_OUT, "--chunk", 64, "--chunks", 6, "--second-moments", "--out",
            self.calibration)

    def words(self, target, size, out, *options):
        return ["fit", self.source, "--calibration", self.calibration, "--text", HELD_OUT, "--target", target, "--bytes", size,
                "--out", self.dir / out, *options]

    def fit(self, *arguments):
        return run_json("quantfleet", *self.words(*arguments), "--json")

    def quantize(self, target, out):
        return run_json("quantfleet", "quantize", self.source, "--calibration", self.calibration, "--rounding", "feedback",
                        "--target", target, "--out", self.dir / out, "--json")["targets"][0]

    def test_a_recipe_within_the_budget_whatever_the_threads(self):
        for target, named, part in (("gguf", "q5_0", 1), ("mlx", "int8-g64", 1), ("openvino", "int8", 0.75),
                                    ("onnx", "int8", 0.75)):
            with self.subTest(target):
                budget = int(part * self.quantize(f"{target}:{named}", f"{target}-named")["bytes"])
                made = self.fit(target, budget, f"{target}.toml", "--threads", 1)
                self.assertLessEqual(made["bytes"], budget)
                better = made["mix"]["mean_kl"] <= made["of_named"]["mean_kl"]
                self.assertEqual(made["taken"], "mix" if better else "named")
                recipe = (self.dir / f"{target}.toml").read_text()
                self.assertIn("[[override]]" if better else "base = ", recipe)
                self.assertTrue(better or target not in ("gguf", "mlx"))
                # What was measured for one format is there for the next.
                self.assertEqual(made["cells_measured"], made["cells"] if target == "gguf" else 0)
                artifact = self.quantize(f"{target}:{self.dir / f'{target}.toml'}", f"{target}-made")
                self.assertEqual(artifact["bytes"], made["bytes"])
                if target not in ("gguf", "mlx"):
                    continue
                for name in ("sensitivities", "row_errors"):
                    (self.calibration / f"{name}.json").rename(self.dir / f"{name}.json")
                self.fit(target, budget, f"{target}-3.toml", "--threads", 3)
                self.assertEqual((self.dir / f"{target}-3.toml").read_text(), recipe)
                # What is kept is what would be measured, and what is lost of it is measured again.
                rows = json.loads((self.calibration / "row_errors.json").read_text())
                self.assertLessEqual({"q4_0", "q8_0"} if target == "gguf" else {"q4_0"}, set(max(rows["errors"], key=len)))
                rows["errors"] = [{} if i % 2 else errors for i, errors in enumerate(rows["errors"])]
                (self.calibration / "row_errors.json").write_text(json.dumps(rows))
                self.fit(target, budget, f"{target}-4.toml")
                self.assertEqual((self.dir / f"{target}-4.toml").read_text(), recipe)
        left = {p.name for p in self.calibration.iterdir()}
        self.assertEqual(left, {"importance.gguf", "second_moments.gguf", "calibration.json", "sensitivities.json",
                                "row_errors.json"})

    def test_killed_and_gone_on_with(self):
        words = self.words("gguf", 300000, "whole.toml", "--threads", 1, "--no-check")
        run("quantfleet", *words)
        file = self.calibration / "sensitivities.json"
        whole, recipe = json.loads(file.read_text()), (self.dir / "whole.toml").read_text()
        for cells in (1, 8):
            file.unlink(missing_ok=True)
            process = subprocess.Popen([BIN / "quantfleet", *map(str, words), "--force"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            while process.poll() is None and (not file.exists() or len(json.loads(file.read_text())["cells"]) < cells):
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            killed = process.wait() != 0
            (self.dir / "whole.toml").unlink(missing_ok=True)
            made = run_json("quantfleet", *words, "--json")
            if killed:
                self.assertLessEqual(made["cells_measured"], made["cells"] - cells)
            self.assertEqual(json.loads(file.read_text()), whole)
            self.assertEqual((self.dir / "whole.toml").read_text(), recipe)

    def test_what_is_refused(self):
        def refused(*arguments):
            done = run("quantfleet", *self.words(*arguments), check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertFalse((self.dir / arguments[2]).exists())
            return done.stderr

        smallest = int(refused("gguf", 20000, "x.toml").split(" has ")[1].split(" bytes")[0])
        self.assertEqual(self.fit("gguf", smallest, "least.toml", "--no-check")["bytes"], smallest)
        self.assertIn(f"{smallest} bytes", refused("gguf", smallest - 1, "x.toml"))
        # A class's bytes, read as the daemon reads them.
        device_class = self.dir / "class.toml"
        of_class = ["fit", self.source, "--calibration", self.calibration, "--text", HELD_OUT, "--class", device_class,
                    "--out", self.dir / "class-fit.toml", "--no-check"]
        device_class.write_text(f'name = "small"\nformat = "gguf"\nrecipe = "q4_0"\nartifact_max_bytes = {smallest}\n')
        self.assertEqual(run_json("quantfleet", *of_class, "--json")["bytes"], smallest)
        device_class.write_text(device_class.read_text() + "artifact_max_mib = 3\n")
        done = run("quantfleet", *of_class, "--force", check=False)
        self.assertIn("artifact_max_mib", done.stderr)
        run("tiny_model", self.dir / "other", "llama", "hidden=128", "intermediate=256", "layers=3", "tied=1", "seed=3")
        self.source = self.dir / "other"
        self.assertIn("another model", refused("gguf", 300000, "x.toml"))

    def test_what_it_takes_is_said_before(self):
        done = run_json("quantfleet", *self.words("openvino", 600000, "x.toml", "--dry-run"), "--json")
        # Seven roles in three bands, and the embedding.
        self.assertEqual(done["cells"], 22)
        self.assertEqual(done["layer_passes"], 7 * (3 + 2 + 1) + 3)
        self.assertFalse((self.dir / "x.toml").exists())


if __name__ == "__main__":
    unittest.main()
