"""Serves a folder of quantfleet's with OpenVINO GenAI, on the CPU. serving.py says how it is called and what it answers."""
import importlib.metadata

import numpy
import openvino
import openvino_genai as genai
from openai_api import NO_TEMPLATE, Refused, says_no
from serving import Unusable, json_of, main, needs

Status = genai.StreamingStatus


class Tokens(genai.StreamerBase):
    """Passes on what is generated, token by token."""

    def __init__(self, say):
        super().__init__()
        self.say = say

    def write(self, made):
        return Status.RUNNING if all(self.say(token) for token in (made if isinstance(made, list) else [made])) else Status.CANCEL

    def end(self):
        pass


class OpenVino:
    def __init__(self, folder, context, threads):
        needs(folder, "openvino_model.xml", "give the device a class whose format is openvino")
        for file in ("openvino_tokenizer.xml", "openvino_detokenizer.xml"):
            needs(folder, file, "OpenVINO's operations cannot say this model's tokenizer (or it is an embedding model), so the "
                  "device needs a class of another format")
        self.context = context
        properties = {"INFERENCE_NUM_THREADS": threads} if threads else {}
        # Where a text that grows changes its rotary factors, what was read for a shorter one does not hold for a longer.
        scheduler = genai.SchedulerConfig()
        scheduler.enable_prefix_caching = "longrope" not in str(json_of(folder, "config.json").get("rope_scaling"))
        try:
            self.pipe = genai.LLMPipeline(folder, "CPU", scheduler_config=scheduler, **properties)
        except RuntimeError as error:
            if "can't protect" in str(error):
                raise Unusable("it generates code as it runs, which a service with MemoryDenyWriteExecute=yes must not") from None
            if "No ScaledDotProductAttention" not in str(error):
                raise
            self.pipe = genai.LLMPipeline(folder, "CPU", ATTENTION_BACKEND="SDPA", **properties)  # Gemma 2: scores are capped
        self.tokenizer = self.pipe.get_tokenizer()

    def chat(self, messages, tools, variables):
        if not self.tokenizer.chat_template:
            raise Refused(NO_TEMPLATE, "messages")
        try:
            return self.tokenizer.apply_chat_template(messages, True, tools=tools or None, extra_context=variables or None)
        except RuntimeError as error:
            raise says_no(error) from None

    def encode(self, text, begins):
        return self.tokenizer.encode(text, add_special_tokens=begins).input_ids.data[0].tolist()

    def decode(self, ids):
        return self.tokenizer.decode(ids) if ids else ""

    def generate(self, ids, sampling, say):
        config = self.pipe.get_generation_config()
        config.max_new_tokens = sampling.most
        config.do_sample = sampling.temperature > 0
        if config.do_sample:
            config.temperature, config.top_p, config.rng_seed = sampling.temperature, sampling.top_p, sampling.seed
            if sampling.top_k:
                config.top_k = sampling.top_k
        ends = config.stop_token_ids | {config.eos_token_id}
        prompt = numpy.array([ids], numpy.int64)
        inputs = genai.TokenizedInputs(openvino.Tensor(prompt), openvino.Tensor(numpy.ones_like(prompt)))
        made = self.pipe.generate(inputs, config, Tokens(lambda token: token in ends or say(token)))
        return made.finish_reasons[0] == genai.GenerationFinishReason.STOP


main("OpenVINO GenAI", OpenVino, lambda: "openvino-genai " + importlib.metadata.version("openvino-genai"))
