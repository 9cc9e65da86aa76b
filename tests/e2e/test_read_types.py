"""Types that are only read, in files that llama.cpp's own quantizer made: they are taken as they are, and our engine finds in
them what llama.cpp finds."""
import math
import random
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from gguf_files import read_gguf, write_importance
from harness import BIN, THOROUGH, run, run_json
from judge import LLAMA_CPP, NODE, llama_nll

# llama.cpp's number of a file that consists of the type, and ggml's of the type.
FILES = {"q2_k": (10, 10), "q3_k": (11, 11), "iq1_s": (24, 19), "iq1_m": (31, 29), "iq2_xxs": (19, 16), "iq2_xs": (20, 17),
         "iq2_s": (29, 22), "iq3_xxs": (23, 18), "iq3_s": (26, 21), "iq4_nl": (25, 20), "iq4_xs": (30, 23), "tq1_0": (36, 34),
         "tq2_0": (37, 35), "q1_0": (40, 41), "q2_0": (41, 42)}
# llama.cpp's quantizer searches for many seconds where a codebook has many points.
SLOW_TYPES = () if THOROUGH else ("iq1_s", "iq1_m", "iq2_xs", "iq2_s")


@unittest.skipUnless(NODE.exists(), "the judges are not installed (tests/judges/install.sh)")
class QuantizedByLlamaCpp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = Path(tempfile.mkdtemp(prefix="quantfleet-read-types-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        run("tiny_model", cls.dir / "tiny", "llama", "hidden=256", "intermediate=512", "layers=1")
        run("quantfleet", "quantize", cls.dir / "tiny", "--target", "gguf:f32", "--out", cls.dir)
        cls.source, rng = cls.dir / "gguf-f32/model.gguf", random.Random(51)
        write_importance(cls.dir / "importance.gguf", {
            name: ([math.exp(rng.gauss(0, 1)) for _ in range(dims[0])], [1])
            for name, (_, dims, _) in read_gguf(cls.source)[1].items() if len(dims) == 2})
        cls.ids = [1] + [rng.randrange(3, 320) for _ in range(119)]
        (cls.dir / "ids.json").write_text(str(cls.ids))
        (cls.dir / "ids.txt").write_text(",".join(map(str, cls.ids)))

    def quantized(self, name):
        """The model in one type alone, but for its norms."""
        number, kind = FILES[name]
        made = self.dir / f"{name}.gguf"
        subprocess.run([BIN / "llama_quantize", LLAMA_CPP, self.source, made, str(number), "--pure", "--output-type", str(kind),
                        "--embedding-type", str(kind), "--imatrix", self.dir / "importance.gguf"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return made

    def test_as_they_are_they_run_as_in_llama_cpp(self):
        for name in sorted(set(FILES) - set(SLOW_TYPES)):
            with self.subTest(name):
                made = self.quantized(name)
                said = run("quantfleet", "quantize", made, "--target", "gguf:as-is", "--target", "gguf:q8_0", "--out",
                           self.dir / name).stderr
                self.assertEqual(said.count(f"quantized already ({name})"), 1, said)
                as_is = self.dir / name / "gguf-as-is/model.gguf"
                self.assertEqual(as_is.read_bytes(), made.read_bytes())
                dtypes = {t["dtype"] for t in run_json("quantfleet", "inspect", as_is.parent, "--json")["model"]["tensors"]}
                self.assertEqual(dtypes, {"f32", name})
                ours, of_q8_0 = (run_json("quantfleet-agent", "eval", path, "--tokens-file", self.dir / "ids.txt", "--json")
                                 ["mean_nll"] for path in (as_is, self.dir / name / "gguf-q8_0/model.gguf"))
                theirs = llama_nll(as_is, "--tokens-file", self.dir / "ids.json")["mean_nll"]
                print(f"{name}: mean NLL {ours:.6f}, llama.cpp {theirs:.6f}, {100 * abs(ours / theirs - 1):.3f} % apart; "
                      f"as q8_0 {of_q8_0:.6f}", file=sys.stderr)
                self.assertLess(abs(ours / theirs - 1), 0.005)
                self.assertLess(abs(of_q8_0 / ours - 1), 0.01)


if __name__ == "__main__":
    unittest.main()
