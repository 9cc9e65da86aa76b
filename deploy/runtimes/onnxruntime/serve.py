"""Serves a folder of quantfleet's with ONNX Runtime GenAI, on the CPU. serving.py says how it is called and what it answers."""
import importlib.metadata
import json

import onnxruntime_genai as genai
from openai_api import NO_TEMPLATE, Refused, says_no
from serving import main, needs


class OnnxRuntime:
    def __init__(self, folder, context, threads):
        needs(folder, "genai_config.json", "it is an embedding model, or the class's format is not onnx")
        needs(folder, "tokenizer.json", "ONNX Runtime reads no other tokenizer, so the device needs a class of another format")
        self.context = context
        config = genai.Config(str(folder))
        if threads:
            config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
        self.model = genai.Model(config)
        self.tokenizer = genai.Tokenizer(self.model)
        self.tokenizer.update_options(skip_special_tokens="true")

    def chat(self, messages, tools, variables):
        if variables:
            raise Refused("ONNX Runtime GenAI passes no variables to chat templates", "chat_template_kwargs")
        try:
            return self.tokenizer.apply_chat_template(json.dumps(messages), tools=json.dumps(tools) if tools else None)
        except Exception as error:
            if "Empty chat template" in str(error):
                raise Refused(NO_TEMPLATE, "messages") from None
            raise says_no(error) from None

    def encode(self, text, begins):
        self.tokenizer.update_options(add_special_tokens="true" if begins else "false")
        return self.tokenizer.encode(text).tolist()

    def decode(self, ids):
        return self.tokenizer.decode(ids)

    def generate(self, ids, sampling, say):
        params = genai.GeneratorParams(self.model)
        options = {"max_length": len(ids) + sampling.most, "do_sample": sampling.temperature > 0}
        if sampling.temperature > 0:
            options |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "random_seed": sampling.seed}
            options |= {"top_k": sampling.top_k} if sampling.top_k else {}
        params.set_search_options(**options)
        generator, ends = genai.Generator(self.model, params), self.tokenizer.eos_token_ids
        generator.append_tokens([ids])
        while not generator.is_done():
            generator.generate_next_token()
            token = int(generator.get_next_tokens()[0])
            if token in ends:
                return True
            if not say(token):
                break
        return False


main("ONNX Runtime GenAI", OnnxRuntime, lambda: "onnxruntime-genai " + importlib.metadata.version("onnxruntime-genai"))
