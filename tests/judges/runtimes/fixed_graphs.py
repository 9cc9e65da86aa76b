"""ONNX Runtime runs the two graphs of fixed shapes of onnx:qnn-..., as a decoder pipeline does: the context graph takes several
tokens, filled up to a window, the iterator graph one; each goes on from the other's cache."""
import json
from pathlib import Path

import numpy

KINDS = {"tensor(uint8)": numpy.uint8, "tensor(int32)": numpy.int32}


class FixedGraphs:
    packages = ("onnxruntime-genai", "onnxruntime")

    def open(self, folder, exact):
        """exact: every node as the graph says it; else quantization may be joined with what stands between."""
        import onnxruntime
        config = json.loads((Path(folder) / "genai_config.json").read_text())["model"]
        self.window, self.context = config["decoder"]["sliding_window"]["window_size"], config["context_length"]
        self.padding = config["pad_token_id"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        if exact:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        stages = [stage for one in config["decoder"]["pipeline"] for stage in one.values()]
        self.many, self.one = [onnxruntime.InferenceSession(str(Path(folder) / stage["filename"]), options,
                                                            ["CPUExecutionProvider"]) for stage in stages]
        for session, stage in zip((self.many, self.one), stages):
            for said, names in ((session.get_inputs(), stage["inputs"]), (session.get_outputs(), stage["outputs"])):
                if {value.name for value in said} != set(names) or not all(isinstance(n, int) for v in said for n in v.shape):
                    raise ValueError(f"{stage['filename']}: {[(value.name, value.shape) for value in said]}, not {names}")
        self.reset()

    def reset(self):
        # Whatever the cache holds where no token is must not matter.
        self.cache = {i.name: numpy.full(i.shape, 255, KINDS[i.type]) for i in self.many.get_inputs()
                      if i.name.startswith("past_key_values.")}
        self.length = 0

    def step(self, ids):
        """The logits behind each of the ids, of which there are no more than a window."""
        session, size = (self.one, 1) if len(ids) == 1 else (self.many, self.window)
        given = {"input_ids": numpy.array([ids + [self.padding] * (size - len(ids))], numpy.int32),
                 "past_seq_len": numpy.array([[self.length + size - 1]], numpy.int32),
                 "total_seq_len": numpy.array([self.context], numpy.int32)}
        names = [output.name for output in session.get_outputs()]
        made = dict(zip(names, session.run(names, {**given, **self.cache})))
        self.cache = {name: made[name.replace("past_key_values", "present")] for name in self.cache}
        self.length += len(ids)
        return made["logits"][0][:len(ids)]

    def read(self, parts):
        self.reset()
        return numpy.concatenate([self.step(part[at:at + self.window]) for part in parts
                                  for at in range(0, len(part), self.window)])

    def generate(self, folder, prompt, most):
        """Greedily, by the graphs and by GenAI's own pipeline."""
        import onnxruntime_genai as genai
        self.open(folder, exact=False)
        row, ids = self.read([prompt])[-1], []
        for _ in range(most):
            ids.append(int(row.argmax()))
            row = self.step(ids[-1:])[0]
        params = genai.GeneratorParams(genai.Model(folder))
        params.set_search_options(do_sample=False)
        generator, theirs = genai.Generator(genai.Model(folder), params), []
        generator.append_tokens([prompt])
        while not generator.is_done() and len(theirs) < most:
            generator.generate_next_token()
            theirs.append(int(generator.get_next_tokens()[0]))
        return {"ids": {"graphs": ids, "genai": theirs}}
