"""OpenVINO GenAI's pipelines as judge of a folder: the ways in which they serve it.

  pipelines.py                      (answers what its input asks: each line is a question, a JSON array of words)
    [FOLDER, "alone", PROMPTS.json, N]        what each prompt gets, one after the other, with a plain cache (SDPA)
    [FOLDER, "together", PROMPTS.json, N]     all at once by continuous batching, in steps of few tokens
    [FOLDER, "prefixes", PROMPTS.json, N]     one after the other, in steps of few tokens, by the cached blocks of those before
    [FOLDER, "draft", PROMPTS.json, N, DRAFT] with guesses of the folder DRAFT
    [FOLDER, "lookup", PROMPTS.json, N]       with guesses found in the prompt
    [FOLDER, "npu", PROMPTS.json, N, CUT]     as for an NPU, with the CPU in its place; cut into repeated blocks (REP) or NONE
    [FOLDER, "beams", PROMPTS.json, N]        of the first prompt, by "SDPA" and "PA": {WAY: [[ids, score] of each beam]}
    [FOLDER, "padded", TEXTS.json, N]         texts in one batch, by SDPA: {"alone": [text], "batch": [text]}
    [FOLDER, "schema", TEXT, SCHEMA]          the text that is made under a JSON schema
    [FOLDER, "chat", TEXT, N]                 two turns of a chat: [[text, why it ended] of each]

The first six answer {"ids": [new ids of each prompt], "steps": [how often the model was run for each, or null]}. Prompts are ids.
They generate greedily, N tokens whatever these are; "beams", "schema" and "chat" end where the model does. All but "npu" compute
in F32. For the Python that install.sh makes.
"""
import json
from pathlib import Path

import numpy
import openvino
import openvino_genai as genai

from answering import serve

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
# As GenAI's own tests have it.
NPU = {"NPUW_DEVICES": "CPU", "MAX_PROMPT_LEN": 128, "MIN_RESPONSE_LEN": 64}


def scheduler(**options):
    config = genai.SchedulerConfig()
    for name, value in {"cache_size": 1, **options}.items():
        setattr(config, name, value)
    return config


def pipeline(folder, **options):
    return genai.LLMPipeline(folder, "CPU", **EXACT, **options)


def greedy(most, **options):
    return genai.GenerationConfig(do_sample=False, ignore_eos=True, max_new_tokens=int(most), **options)


def tensor(ids):
    return openvino.Tensor(numpy.array([ids], numpy.int64))


def one_by_one(pipe, prompts, config):
    results = [pipe.generate(genai.TokenizedInputs(tensor(ids), tensor([1] * len(ids))), config) for ids in prompts]
    return {"ids": [[int(i) for i in result.tokens[0]] for result in results],
            "steps": [len(result.perf_metrics.raw_metrics.m_batch_sizes) for result in results]}


def batching(folder, **options):
    # Prompts are cut into parts, and parts of some stand in one step with tokens of others.
    return genai.ContinuousBatchingPipeline(folder, scheduler(max_num_batched_tokens=16, max_num_seqs=3, **options), "CPU", EXACT)


def together(folder, prompts, most):
    results = batching(folder).generate([tensor(ids) for ids in prompts], [greedy(most)] * len(prompts))
    return {"ids": [list(result.m_generation_ids[0]) for result in results], "steps": [None] * len(prompts)}


def prefixes(folder, prompts, most):
    pipe, said = batching(folder, enable_prefix_caching=True), {"ids": [], "steps": []}
    for at, ids in enumerate(prompts):
        handle, steps = pipe.add_request(at, tensor(ids), greedy(most)), 0
        while pipe.has_non_finished_requests():
            pipe.step()
            steps += 1
        said["ids"].append([int(i) for i in handle.read_all()[0].generated_ids])
        said["steps"].append(steps)
    return said


def beams(folder, prompts, most):
    config = genai.GenerationConfig(max_new_tokens=int(most), num_beams=3, num_return_sequences=3, length_penalty=0.0)
    said = {}
    for way in ("SDPA", "PA"):
        pipe = pipeline(folder, ATTENTION_BACKEND=way)
        ids = prompts[0]
        result = pipe.generate(genai.TokenizedInputs(tensor(ids), tensor([1] * len(ids))), config)
        said[way] = [[[int(i) for i in beam], score] for beam, score in zip(result.tokens, result.scores)]
    return said


def padded(folder, texts, most):
    pipe, config = pipeline(folder, ATTENTION_BACKEND="SDPA"), greedy(most, apply_chat_template=False)
    return {"alone": [pipe.generate(text, config) for text in texts], "batch": pipe.generate(texts, config).texts}


def schema(folder, text, wanted):
    # Whatever is allowed is almost equally likely: a small model would have no end of the spaces that JSON allows.
    config = genai.GenerationConfig(max_new_tokens=400, do_sample=True, temperature=30.0, top_k=0, top_p=1.0, rng_seed=1)
    config.structured_output_config = genai.StructuredOutputConfig(json_schema=wanted)
    return pipeline(folder).generate([text], config).texts[0]


def chat(folder, text, most):
    pipe, config = pipeline(folder), genai.GenerationConfig(f"{folder}/generation_config.json")
    config.do_sample, config.max_new_tokens = False, int(most)
    history, said = genai.ChatHistory(), []
    for _ in range(2):
        history.append({"role": "user", "content": text})
        result = pipe.generate(history, config)
        said.append([result.texts[0], result.finish_reasons[0].name])
        history.append({"role": "assistant", "content": result.texts[0]})
    return said


def answer(folder, command, given, most, *more):
    if command in ("schema", "chat"):
        return globals()[command](folder, given, most)
    given = json.loads(Path(given).read_text())
    if command in ("together", "prefixes", "beams", "padded"):
        return globals()[command](folder, given, most)
    if command == "npu":
        return one_by_one(genai.LLMPipeline(folder, "NPU", **NPU, NPUW_ONLINE_PIPELINE=more[0]), given, greedy(most))
    options, config = {
        "alone": lambda: ({"ATTENTION_BACKEND": "SDPA"}, {}),
        "draft": lambda draft: ({"draft_model": genai.draft_model(draft, "CPU", **EXACT)}, {"num_assistant_tokens": 4}),
        "lookup": lambda: ({"prompt_lookup": True}, {"num_assistant_tokens": 4, "max_ngram_size": 3}),
    }[command](*more)
    return one_by_one(pipeline(folder, **options), given, greedy(most, **config))


if __name__ == "__main__":
    serve(answer)
