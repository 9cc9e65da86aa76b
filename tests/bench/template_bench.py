#!/usr/bin/env python3
"""How long a rendering of a published chat template takes: reading the conversation, running the template, writing the prompt.

usage: tests/bench/template_bench.py BIN_CHAT_PROMPT TRUTH.json    (TRUTH.json as tests/e2e/test_templates.py collects it)
"""
import json
import subprocess
import sys
import time

REPEATED = 300


def seconds(binary, template, inputs):
    asked = json.dumps({"template": template["template"], "now": 1795955696, "inputs": inputs}) + "\n"
    best = None
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([binary], input=asked, capture_output=True, text=True, check=True)
        took = time.perf_counter() - begun
        best = took if best is None else min(best, took)
    return best


def main():
    binary, truth = sys.argv[1], json.loads(open(sys.argv[2]).read())
    rates = []
    for name, template in truth["templates"].items():
        usual = {**truth["inputs"]["long"], "bos_token": template["bos"], "eos_token": template["eos"]}
        took = seconds(binary, template, [usual] * REPEATED) - seconds(binary, template, [])
        rates.append((took / REPEATED, name))
    rates.sort()
    median, (slowest, which) = rates[len(rates) // 2][0], rates[-1]
    print(f"{len(rates)} templates, six messages: median {1e6 * median:.0f} us ({1 / median:.0f} renderings/s), "
          f"slowest {1e6 * slowest:.0f} us ({which})")


if __name__ == "__main__":
    main()
