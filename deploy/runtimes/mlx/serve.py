"""Serves a folder of quantfleet's with mlx-lm. serving.py says how it is called and what it answers."""
import os

os.environ["HF_HUB_OFFLINE"] = "1"  # the folder is all there is: nothing is looked up elsewhere

import importlib.metadata  # noqa: E402

import mlx.core as mx  # noqa: E402
import mlx_lm  # noqa: E402
from mlx_lm.sample_utils import make_sampler  # noqa: E402
from openai_api import NO_TEMPLATE, Refused, says_no  # noqa: E402
from serving import main, needs  # noqa: E402


class Mlx:
    def __init__(self, folder, context, threads):
        needs(folder, "config.json", "give the device a class whose format is mlx")
        needs(folder, "tokenizer.json", "mlx-lm reads no other tokenizer, so the device needs a class of another format")
        self.context = context
        self.model, self.tokenizer = mlx_lm.load(str(folder))
        if mx.default_device().type == mx.cpu:
            # There MLX computes F16 in software, some 27 times slower than F32, and compiles functions with the machine's C++
            # compiler, if it has one, in the midst of an answer.
            self.model.set_dtype(mx.float32)
            mx.disable_compile()

    def chat(self, messages, tools, variables):
        if not self.tokenizer.chat_template:
            raise Refused(NO_TEMPLATE, "messages")
        try:
            return self.tokenizer.apply_chat_template(messages, tools=tools or None, tokenize=False, add_generation_prompt=True,
                                                      **variables)
        except Exception as error:
            raise says_no(error) from None

    def encode(self, text, begins):
        return self.tokenizer.encode(text, add_special_tokens=begins)

    def decode(self, ids):
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def generate(self, ids, sampling, say):
        mx.random.seed(sampling.seed)
        sampler = make_sampler(sampling.temperature, sampling.top_p, top_k=sampling.top_k)
        for made in mlx_lm.stream_generate(self.model, self.tokenizer, ids, max_tokens=sampling.most, sampler=sampler):
            if made.finish_reason == "stop":
                return True
            if not say(made.token):
                break
        return False


main("mlx-lm", Mlx, lambda: "mlx-lm " + importlib.metadata.version("mlx-lm"))
