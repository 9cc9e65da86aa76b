"""Memory said is memory taken: what running_memory.h counts for a context, against what a serving process holds with that
context filled, for three shapes, every type of cache, and several requests at once."""
import re
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import DEMO, HELD_OUT, SANITIZED, Watch, memory_said, run, run_json, status
from test_server import Serving

# Caches that outweigh everything else; heads of a whole number of blocks and not, groups that share one and not.
SHAPES = {
    "llama": dict(hidden=128, intermediate=256, layers=8, heads=8, kv_heads=8, head_dim=64, context=4096),
    "phi3": dict(hidden=384, intermediate=512, layers=24, heads=4, kv_heads=2, context=4096),
    "qwen2": dict(hidden=160, intermediate=256, layers=24, heads=4, kv_heads=4, head_dim=40, context=4096),
}
CLOSE = 0.05
WORDS = "once upon a time there was a dog "


def resident(pid, path):
    """Bytes of a mapped file that are in memory."""
    maps = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text(), flags=re.M)
    return sum(int(re.search(r"^Rss:\s+(\d+) kB$", one, re.M)[1]) << 10 for one in maps if str(path) in one)


@unittest.skipIf(SANITIZED, "a sanitizer's own memory is no part of what is said")
class Memory(Serving):
    def model(self, architecture):
        folder = self.dir / architecture
        run("tiny_model", folder / "hf", architecture, *[f"{k}={v}" for k, v in SHAPES[architecture].items()])
        run("quantfleet", "quantize", folder / "hf", "--target", "gguf:f16", "--out", folder / "out")
        return folder / "out/gguf-f16/model.gguf"

    def fill(self, server, requests, places, new):
        """Requests that take so many places of the context each, a few of them generated; the most that was held."""
        _, usage = server.post("completions", {"model": server.name, "prompt": WORDS * 10, "max_tokens": 1})
        each = usage["usage"]["prompt_tokens"] / 10
        body = {"model": server.name, "prompt": WORDS * int((places - new - 2) / each), "max_tokens": new, "seed": 3}
        with Watch(server.pid) as watch, ThreadPoolExecutor(requests) as pool:
            answers = list(pool.map(lambda _: server.post("completions", body, 300), range(requests)))
        for code, answer in answers:
            self.assertEqual(code, 200, answer)
            self.assertGreater(answer["usage"]["prompt_tokens"], 0.95 * (places - new))
        return watch.most

    def check(self, what, said, held):
        print(f"{what}: said {said / 1e6:.1f} MB, held {held / 1e6:.1f} MB, {100 * (held / said - 1):+.1f} %", file=sys.stderr)
        self.assertLess(abs(held / said - 1), CLOSE, what)

    def test_cache_and_buffers(self):
        for architecture, shape in SHAPES.items():
            model = self.model(architecture)
            for kv_type in ("f32", "f16", "q8_0"):
                with self.subTest(f"{architecture} {kv_type}"):
                    server = self.server(model, "--kv-type", kv_type, "--context", shape["context"])
                    said = memory_said(model, kv_type, shape["context"])
                    idle = status(server.pid, "RssAnon")
                    self.check(f"{architecture} {kv_type}", said, self.fill(server, 1, shape["context"], 8))
                    self.assertLess(abs(resident(server.pid, model) / model.stat().st_size - 1), CLOSE)
                    # A request's cache goes with it.
                    after = status(server.pid, "RssAnon")
                    self.assertLess(after - idle, 0.1 * said)
                    server.stop()

    def test_requests_at_once_hold_one_context(self):
        model = self.model("llama")
        for kv_type in ("f16", "q8_0"):
            server = self.server(model, "--kv-type", kv_type, "--parallel", 8)
            self.check(f"four of six at once, {kv_type}", memory_said(model, kv_type, SHAPES["llama"]["context"]),
                       self.fill(server, 6, SHAPES["llama"]["context"] // 4, 128))
            server.stop()


@unittest.skipIf(SANITIZED, "a sanitizer has memory of its own")
class Bench(Serving):
    def test_peak_is_its_own_and_not_its_parents(self):
        ballast = bytes(512 << 20).replace(b"\0", b"\1")  # ru_maxrss would count it: it is inherited over exec
        bench = run_json("quantfleet-agent", "bench", self.demo(), "--tokens", 1, "--prompt-tokens", 1, "--rounds", 1, "--json")
        self.assertGreater(bench["peak_rss_bytes"], 4 << 20)
        self.assertLess(bench["peak_rss_bytes"], len(ballast) // 2)


class Quality(Serving):
    def test_caches_of_fewer_bits_cost_next_to_nothing(self):
        """With activations as floats: as integers of eight bits every other rounding moves the likelihood by itself."""
        run("quantfleet", "quantize", DEMO, "--target", "gguf:f16", "--out", self.dir)
        nll = {kv_type: run_json("quantfleet-agent", "eval", self.dir / "gguf-f16/model.gguf", "--text-file", HELD_OUT,
                                 "--max-tokens", 512, "--context", 512, "--float-activations", "--kv-type", kv_type,
                                 "--json")["mean_nll"]
               for kv_type in ("f32", "f16", "q8_0")}
        for kv_type, limit in (("f16", 0.0005), ("q8_0", 0.005)):
            difference = abs(nll[kv_type] / nll["f32"] - 1)
            print(f"mean NLL with a cache of {kv_type}: {100 * difference:.4f} % from that of f32", file=sys.stderr)
            self.assertLess(difference, limit)
        self.assertEqual(len(set(nll.values())), 3, nll)

    def test_what_no_cache_holds_is_refused_with_the_list(self):
        done = run("quantfleet-agent", "bench", "model.gguf", "--kv-type", "q4_0", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("f16, q8_0 or f32", done.stderr)


if __name__ == "__main__":
    unittest.main()
