"""Tiny models of each published family: its real config.json, tensor names, rope settings and kind of
tokenizer, with small sizes and random weights. Deterministic; no libraries.

    write("phi4-mini", folder, dtypes=("BF16",), shards=2, seed=3) -> Family

Weights are scaled so that attention is peaked and logits are spread: a wrong angle, bias or row order moves
the likelihood of a text by more than the tests allow.
"""
import json
import math
import random
import struct
from array import array
from dataclasses import dataclass, field, replace
from pathlib import Path

from byte_bpe import ByteBpe, train_merges, spelled
from sentencepiece_bpe import model_proto, pieces

CORPUS = (Path(__file__).resolve().parents[1] / "data/eval/held-out.txt").read_text()[:5000].splitlines() + [
    "In 1998 and 2024 there were 12345 of 1000000, then 3.14159 and 2718281828.",
    "HelloWorld iPhone McDonald's CamelCaseNames JSONParser don't I'LL WE'RE it's",
    "12345 12345 1998 1998 2024 2024 000 000 HelloWorld HelloWorld CamelCase CamelCase"] * 3
WHOLE_WORDS = [" xylophone", "zebra"]  # tokens that no merge makes


# What a family's checkpoints have beside Llama's tensors or in their place: q, k, v and gate, up in one tensor each; biases
# on q, k and v; norms of each head of q and k; or names of their own.
LAYOUTS = {"phi3": {"fused"}, "llama": set(), "qwen2": {"biases"}, "qwen3": {"head_norms"},
           "qwen3moe": {"head_norms", "experts"}, "gpt-oss": {"gpt_oss_names"}, "phimoe": {"experts", "biases", "more_biases"},
           "phi2": {"phi_names"}, "granite": set(), "smollm3": set(), "gemma": {"norms_less_one"},
           "gemma2": {"norms_less_one", "post_norms"}, "gemma3": {"norms_less_one", "post_norms", "head_norms"}}


@dataclass
class Family:
    architecture: str  # as GGUF calls it
    config: dict       # of config.json, sizes left out
    hidden: int = 128
    intermediate: int = 192
    layers: int = 2
    heads: int = 4
    kv_heads: int = 4
    head_dim: int = 0  # written to config.json when not 0
    tied: bool = False
    pre: str = ""      # byte-level BPE with this pre-tokenizer; "": SentencePiece
    added: list = field(default_factory=list)    # (text, special); ("", _) leaves a hole in the ids
    control: list = field(default_factory=list)  # of the SentencePiece model itself
    pad_to: int = 64   # the vocabulary is filled up to a multiple of this
    tokenizer_config: dict = field(default_factory=dict)
    template_bos: str = ""      # tokenizer.json's post-processor adds it
    split: tuple = ("Isolated", False)
    merges_as_pairs: bool = False
    more_merges: tuple = ()  # beyond those that a text gives
    part: str = ""     # the member of config.json that has the text's members, of a model that does more
    adapters: bool = False   # each product's weight is a base_layer, with adapters and encoders beside it
    experts: int = 0   # of a layer; their own width, and how many a token goes through, are in the config
    # Found out while writing.
    vocab: int = 0
    ids: dict = field(default_factory=dict)  # of the added tokens, by text
    byte_bpe: ByteBpe = None

    @property
    def dim(self):
        return self.head_dim or self.hidden // self.heads

    def has(self, what):
        return what in LAYOUTS[self.architecture]


def long_rope(pairs, longest, step=0.02, kind="longrope"):
    return {"type": kind, "short_factor": [round(1 + step * i, 4) for i in range(pairs)],
            "long_factor": [round(longest ** (i / (pairs - 1)), 4) for i in range(pairs)]}


def special(*texts):
    return [(t, True) for t in texts]


PHI3_ADDED = special("<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|placeholder2|>", "<|system|>",
                     "<|end|>", "<|user|>")
PHI3_TOKENIZER = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False, "add_eos_token": False,
                  "bos_token": "<s>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
                  "unk_token": "<unk>"}


def phi3(**config):
    return {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "hidden_act": "silu",
            "attention_bias": False, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "bos_token_id": 1,
            "eos_token_id": "<|endoftext|>", **config}


def phi3_long(**config):
    return phi3(max_position_embeddings=131072, original_max_position_embeddings=4096, sliding_window=262144,
                **config)


def llama(**config):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "attention_bias": False, "rms_norm_eps": 1e-05, "pretraining_tp": 1, **config}


LLAMA2_TOKENIZER = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False,
                    "legacy": False, "bos_token": {"__type": "AddedToken", "content": "<s>"},
                    "eos_token": {"__type": "AddedToken", "content": "</s>"},
                    "unk_token": {"__type": "AddedToken", "content": "<unk>"}, "pad_token": None}
LLAMA3_ADDED = special("<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
                       "<|start_header_id|>", "<|end_header_id|>", "<|reserved_special_token_1|>",
                       "<|eot_id|>")
LLAMA3_TOKENIZER = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>",
                    "eos_token": "<|eot_id|>", "clean_up_tokenization_spaces": True}
QWEN2_ADDED = special("<|endoftext|>", "<|im_start|>", "<|im_end|>") + [
    ("<tool_call>", False), ("</tool_call>", False), ("<|fim_prefix|>", False)]
QWEN2_TOKENIZER = {"tokenizer_class": "Qwen2Tokenizer", "add_bos_token": False, "add_prefix_space": False,
                   "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
                   "unk_token": None}


def qwen2(**config):
    return {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu",
            "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "max_position_embeddings": 32768,
            "sliding_window": 32768, "max_window_layers": 28, "use_sliding_window": False, **config}


QWEN3_ADDED = QWEN2_ADDED + [("<tool_response>", False), ("</tool_response>", False), ("<think>", False),
                             ("</think>", False)]


def qwen3(**config):
    return {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu",
            "attention_bias": False, "rms_norm_eps": 1e-06, "rope_theta": 1000000, "rope_scaling": None,
            "max_position_embeddings": 40960, "sliding_window": None, "max_window_layers": 28,
            "use_sliding_window": False, "bos_token_id": 151643, "eos_token_id": "<|im_end|>", **config}


def qwen3moe(experts, **config):
    """Of Qwen3-30B-A3B."""
    return qwen3(architectures=["Qwen3MoeForCausalLM"], model_type="qwen3_moe", decoder_sparse_step=1, mlp_only_layers=[],
                 moe_intermediate_size=96, norm_topk_prob=True, num_experts=experts, num_experts_per_tok=2,
                 output_router_logits=False, router_aux_loss_coef=0.001, **config)


def phimoe(experts, **config):
    """Of Phi-mini-MoE and, with its rope_scaling, of Phi-3.5-MoE."""
    return {"architectures": ["PhiMoEForCausalLM"], "model_type": "phimoe", "hidden_act": "silu", "attention_bias": True,
            "lm_head_bias": True, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "router_jitter_noise": 0.01,
            "input_jitter_noise": 0.01, "router_aux_loss_coef": 0.0, "num_local_experts": experts,
            "num_experts_per_tok": 2, "bos_token_id": 1, "eos_token_id": "<|endoftext|>", **config}


def gpt_oss(layers, experts, **config):
    """Of gpt-oss-20b, with a window that a short text leaves."""
    return {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "hidden_act": "silu", "attention_bias": True,
            "rms_norm_eps": 1e-05, "rope_theta": 150000, "swiglu_limit": 7.0, "num_local_experts": experts,
            "num_experts_per_tok": 4, "experts_per_token": 4, "sliding_window": 16, "max_position_embeddings": 131072,
            "initial_context_length": 4096, "router_aux_loss_coef": 0.9, "output_router_logits": False,
            "layer_types": [("sliding_attention", "full_attention")[i % 2] for i in range(layers)],
            "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": [
                "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]},
            "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
                             "original_max_position_embeddings": 4096},
            "bos_token_id": 199998, "eos_token_id": "<|return|>", **config}


GPT_OSS_ADDED = special("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>", "<|start|>",
                        "<|end|>", "<|message|>", "<|call|>")

PHI2_ADDED = special("<|endoftext|>") + [(" " * n, False) for n in (5, 4, 3, 2)] + [("\t\t", False)]
PHI2_TOKENIZER = {"tokenizer_class": "CodeGenTokenizer", "add_prefix_space": False, "bos_token": "<|endoftext|>",
                  "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}


def phi2(**config):
    return {"architectures": ["PhiForCausalLM"], "model_type": "phi", "hidden_act": "gelu_new", "layer_norm_eps": 1e-05,
            "rope_theta": 10000.0, "rope_scaling": None, "qk_layernorm": False, "max_position_embeddings": 2048,
            "attention_dropout": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "bos_token_id": 50256,
            "eos_token_id": "<|endoftext|>", **config}


# Across a border that Granite's pre-tokenizer draws and Qwen's does not.
SLASH = (("/", "b"),)
GRANITE_ADDED = special("<|end_of_text|>", "<fim_prefix>", "<|start_of_role|>", "<|end_of_role|>") + [("<|tool_call|>", True)]
GRANITE_TOKENIZER = {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": False, "add_prefix_space": False,
                     "bos_token": "<|end_of_text|>", "eos_token": "<|end_of_text|>", "pad_token": "<|end_of_text|>",
                     "unk_token": "<|end_of_text|>"}


def granite(**config):
    """Of Granite 3.1 2B; attention_multiplier is 1 / head size there as well, and not its root."""
    return {"architectures": ["GraniteForCausalLM"], "model_type": "granite", "hidden_act": "silu", "rms_norm_eps": 1e-05,
            "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.1, "attention_multiplier": 1 / 32,
            "embedding_multiplier": 12.0, "residual_multiplier": 0.22, "logits_scaling": 8.0, "rope_scaling": None,
            "rope_theta": 5000000.0, "max_position_embeddings": 131072, "bos_token_id": 0,
            "eos_token_id": "<|end_of_text|>", **config}


def smollm3(layers, **config):
    return {"architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "hidden_act": "silu", "rms_norm_eps": 1e-06,
            "attention_bias": False, "mlp_bias": False, "rope_scaling": None, "rope_theta": 5000000.0,
            "max_position_embeddings": 65536, "sliding_window": None, "use_sliding_window": False, "max_window_layers": 28,
            "layer_types": ["full_attention"] * layers, "no_rope_layer_interval": 4, "pretraining_tp": 2,
            "no_rope_layers": [int((i + 1) % 4 != 0) for i in range(layers)], "bos_token_id": 128000,
            "eos_token_id": "<|im_end|>", **config}


def gemma(**config):
    """Without tie_word_embeddings, as published."""
    return {"architectures": ["GemmaForCausalLM"], "model_type": "gemma", "hidden_act": "gelu_pytorch_tanh",
            "hidden_activation": None, "rms_norm_eps": 1e-06, "attention_bias": False, "rope_theta": 10000.0,
            "rope_scaling": None, "max_position_embeddings": 8192, "bos_token_id": 2, "eos_token_id": 1, **config}


def gemma2(**config):
    return {**gemma(), "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2",
            "hidden_activation": "gelu_pytorch_tanh", "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
            "sliding_window": 4096, "cache_implementation": "hybrid", **config}


def gemma3(**config):
    """Of Gemma 3 1B."""
    return {**gemma(), "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text",
            "hidden_activation": "gelu_pytorch_tanh", "attn_logit_softcapping": None, "final_logit_softcapping": None,
            "sliding_window": 512, "sliding_window_pattern": 6, "rope_local_base_freq": 10000.0, "rope_theta": 1000000.0,
            "max_position_embeddings": 32768, "cache_implementation": "hybrid", **config}


def gemma3_layers(layers, every=6):
    """As newer files say which layers slide."""
    return {"sliding_window_pattern": None, "_sliding_window_pattern": every, "use_bidirectional_attention": False,
            "layer_types": ["full_attention" if (i + 1) % every == 0 else "sliding_attention" for i in range(layers)]}


GEMMA_TOKENIZER = {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True, "add_eos_token": False,
                   "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


PHI4_ADDED = special("<|dummy_0|>", "<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
                     "<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|endofprompt|>", "<|dummy_85|>")
PHI4_TOKENIZER = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "bos_token": "<|endoftext|>",
                  "eos_token": "<|im_end|>", "pad_token": "<|dummy_85|>", "unk_token": "<|endoftext|>"}
PHI4_MINI_ADDED = special("<|endoftext|>", "<|endofprompt|>") + [("", True)] * 5 + \
    special("<|assistant|>", "<|end|>", "<|user|>", "<|system|>", "<|tool|>", "<|/tool|>")
PHI4_MINI_TOKENIZER = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "add_bos_token": False,
                       "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
                       "unk_token": "<|endoftext|>"}


def phi4_mini(**config):
    return Family("phi3", phi3_long(rope_scaling=long_rope(12, 40), partial_rotary_factor=0.75, bos_token_id=199999,
                                    eos_token_id="<|endoftext|>", **config),
                  hidden=96, intermediate=160, heads=3, kv_heads=1, tied=True, pre="gpt-4o", split=("Removed", True),
                  added=PHI4_MINI_ADDED, tokenizer_config=PHI4_MINI_TOKENIZER)


FAMILIES = {
    "phi3-mini-4k": lambda: Family(
        "phi3", phi3(max_position_embeddings=4096, original_max_position_embeddings=4096, sliding_window=2047,
                     rope_scaling=None), added=PHI3_ADDED, tokenizer_config=PHI3_TOKENIZER),
    "phi3-mini-128k": lambda: Family(
        "phi3", phi3_long(rope_scaling=long_rope(16, 60)), added=PHI3_ADDED, tokenizer_config=PHI3_TOKENIZER),
    "phi3-medium": lambda: Family(
        "phi3", phi3(max_position_embeddings=4096, original_max_position_embeddings=4096, sliding_window=2047,
                     rope_scaling=None), kv_heads=1, added=PHI3_ADDED, tokenizer_config=PHI3_TOKENIZER),
    "phi35-mini": lambda: Family(
        "phi3", phi3_long(rope_scaling=long_rope(16, 32, 0.05, "su")), added=PHI3_ADDED,
        tokenizer_config=PHI3_TOKENIZER),
    "phi4": lambda: Family(
        "phi3", phi3(max_position_embeddings=16384, original_max_position_embeddings=16384,
                     sliding_window=None, rope_scaling=None, rope_theta=250000, bos_token_id=100257,
                     eos_token_id="<|endoftext|>"),
        kv_heads=1, pre="dbrx", split=("Removed", True), added=PHI4_ADDED, tokenizer_config=PHI4_TOKENIZER),
    # -plus has the same config.json.
    "phi4-reasoning": lambda: Family(
        "phi3", phi3(max_position_embeddings=32768, original_max_position_embeddings=32768, sliding_window=None,
                     rope_scaling=None, rope_theta=500000, bos_token_id=100257, eos_token_id="<|im_end|>"),
        kv_heads=1, pre="dbrx", split=("Removed", True),
        added=PHI4_ADDED[:-1] + special("<nothink>", "<think>", "</think>", "<|dummy_85|>"),
        tokenizer_config=PHI4_TOKENIZER),
    "phi4-mini": phi4_mini,
    "phi4-mini-reasoning": phi4_mini,
    "phi4-multimodal": lambda: replace(phi4_mini(
        architectures=["Phi4MMForCausalLM"], model_type="phi4mm", vision_lora={"r": 4, "lora_alpha": 8},
        speech_lora={"r": 4, "lora_alpha": 8}, embd_layer={}, audio_processor={}), adapters=True),
    "llama2": lambda: Family(
        "llama", llama(max_position_embeddings=4096, rope_theta=10000.0, rope_scaling=None, bos_token_id=1,
                       eos_token_id=2), tokenizer_config=LLAMA2_TOKENIZER, pad_to=1),
    "llama3": lambda: Family(
        "llama", llama(max_position_embeddings=8192, rope_theta=500000.0, rope_scaling=None,
                       bos_token_id=128000, eos_token_id="<|eot_id|>"),
        kv_heads=1, pre="llama-bpe", added=LLAMA3_ADDED, template_bos="<|begin_of_text|>",
        tokenizer_config=LLAMA3_TOKENIZER),
    "llama32": lambda: Family(
        "llama", llama(max_position_embeddings=131072, rope_theta=500000.0, bos_token_id=128000,
                       eos_token_id=["<|end_of_text|>", "<|eot_id|>"],
                       rope_scaling={"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                                     "original_max_position_embeddings": 8192, "rope_type": "llama3"}),
        kv_heads=1, head_dim=32, tied=True, pre="llama-bpe", added=LLAMA3_ADDED,
        template_bos="<|begin_of_text|>", tokenizer_config=LLAMA3_TOKENIZER, merges_as_pairs=True),
    "mistral": lambda: Family(
        "llama", {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_act": "silu",
                  "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "max_position_embeddings": 32768,
                  "sliding_window": 4096, "bos_token_id": 1, "eos_token_id": 2},
        kv_heads=1, pad_to=1, control=["[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]",
                                       "[control_8]"],
        tokenizer_config={**LLAMA2_TOKENIZER, "add_prefix_space": True}),
    "qwen2": lambda: Family(
        "qwen2", qwen2(bos_token_id=151643, eos_token_id="<|im_end|>"), kv_heads=2, pre="qwen2", more_merges=SLASH,
        added=QWEN2_ADDED, tokenizer_config=QWEN2_TOKENIZER),
    "qwen25-tied": lambda: Family(
        "qwen2", qwen2(bos_token_id=151643, eos_token_id="<|im_end|>"), kv_heads=2, tied=True,
        pre="qwen2", more_merges=SLASH, added=QWEN2_ADDED, tokenizer_config=QWEN2_TOKENIZER, merges_as_pairs=True),
    "qwen3": lambda: Family(
        "qwen3", qwen3(), kv_heads=2, head_dim=64, pre="qwen2", more_merges=SLASH, added=QWEN3_ADDED,
        tokenizer_config=QWEN2_TOKENIZER, merges_as_pairs=True),
    "qwen3-tied": lambda: Family(
        "qwen3", qwen3(), heads=8, kv_heads=1, head_dim=32, tied=True, pre="qwen2", more_merges=SLASH, added=QWEN3_ADDED,
        tokenizer_config=QWEN2_TOKENIZER, merges_as_pairs=True),
    "qwen3moe": lambda: Family(
        "qwen3moe", qwen3moe(6), kv_heads=2, head_dim=64, experts=6, pre="qwen2", more_merges=SLASH, added=QWEN3_ADDED,
        tokenizer_config=QWEN2_TOKENIZER, merges_as_pairs=True),
    "phimoe-mini": lambda: Family(
        "phimoe", phimoe(5, max_position_embeddings=4096, original_max_position_embeddings=4096, sliding_window=2047,
                         rope_scaling=None),
        kv_heads=1, intermediate=96, experts=5, added=PHI3_ADDED, tokenizer_config=PHI3_TOKENIZER),
    "phi35-moe": lambda: Family(
        "phimoe", phimoe(6, max_position_embeddings=131072, original_max_position_embeddings=4096, sliding_window=131072,
                         rope_scaling={**long_rope(16, 40), "long_mscale": 1.243163121016122,
                                       "short_mscale": 1.243163121016122, "original_max_position_embeddings": 4096}),
        kv_heads=2, intermediate=96, experts=6, added=PHI3_ADDED, tokenizer_config=PHI3_TOKENIZER),
    "gpt-oss": lambda: Family(
        "gpt-oss", gpt_oss(2, 6), hidden=128, intermediate=96, heads=4, kv_heads=2, head_dim=64, experts=6, pre="gpt-4o",
        split=("Removed", True), added=GPT_OSS_ADDED,
        tokenizer_config={"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|startoftext|>",
                          "eos_token": "<|return|>", "pad_token": "<|endoftext|>"}),
    "phi15": lambda: Family(
        "phi2", phi2(partial_rotary_factor=0.5), intermediate=512, pre="gpt-2", added=PHI2_ADDED,
        tokenizer_config=PHI2_TOKENIZER),
    "phi2": lambda: Family(
        "phi2", phi2(partial_rotary_factor=0.4), hidden=160, intermediate=640, heads=2, kv_heads=2, pre="gpt-2",
        added=PHI2_ADDED, tokenizer_config=PHI2_TOKENIZER),
    "granite": lambda: Family(
        "granite", granite(), kv_heads=2, tied=True, pre="refact", more_merges=SLASH, added=GRANITE_ADDED,
        tokenizer_config=GRANITE_TOKENIZER),
    "granite-untied": lambda: Family(
        "granite", granite(max_position_embeddings=4096, rope_theta=10000.0), kv_heads=4, pre="refact",
        more_merges=SLASH, added=GRANITE_ADDED, tokenizer_config=GRANITE_TOKENIZER),
    "smollm3": lambda: Family(
        "smollm3", smollm3(5), layers=5, kv_heads=1, tied=True, pre="llama-bpe",
        added=special("<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>") + [("<think>", False)],
        tokenizer_config={**LLAMA3_TOKENIZER, "bos_token": None, "eos_token": "<|im_end|>"}),
    "gemma": lambda: Family(
        "gemma", gemma(), heads=2, kv_heads=1, head_dim=48, tied=True, tokenizer_config=GEMMA_TOKENIZER),
    "gemma-mha": lambda: Family(
        "gemma", gemma(hidden_act="gelu"), hidden=96, intermediate=160, heads=4, kv_heads=4, head_dim=64, tied=True,
        tokenizer_config=GEMMA_TOKENIZER),
    # Windows that the tests' texts exceed by far, and a cap that scores reach.
    "gemma2": lambda: Family(
        "gemma2", gemma2(sliding_window=100, query_pre_attn_scalar=48, attn_logit_softcapping=2.0), layers=3, heads=4,
        kv_heads=2, head_dim=48, tied=True, tokenizer_config=GEMMA_TOKENIZER),
    "gemma3": lambda: Family(
        "gemma3", gemma3(sliding_window=100, query_pre_attn_scalar=64), layers=7, heads=4, kv_heads=1, head_dim=64, tied=True,
        tokenizer_config=GEMMA_TOKENIZER),
    # 4B and larger: text and more, positions of full layers stretched. Sizes that its class means are not written.
    "gemma3-vision": lambda: Family(
        "gemma3", gemma3(sliding_window=64, architectures=["Gemma3ForConditionalGeneration"], model_type="gemma3",
                         rope_scaling={"factor": 8.0, "rope_type": "linear"}, query_pre_attn_scalar=None,
                         **gemma3_layers(4, 3)),
        hidden=256, layers=4, heads=8, kv_heads=4, head_dim=256, tied=True, part="text_config",
        tokenizer_config=GEMMA_TOKENIZER),
    # 27B: its scores are divided by sqrt(hidden / heads), which 62 layers say.
    "gemma3-27b": lambda: Family(
        "gemma3", gemma3(sliding_window=32, query_pre_attn_scalar=16, rope_scaling={"factor": 8.0, "rope_type": "linear"}),
        hidden=64, intermediate=64, layers=62, heads=4, kv_heads=2, head_dim=32, tied=True, tokenizer_config=GEMMA_TOKENIZER),
}


def phi_tensors(f):
    """Those of a family whose every product and norm has a bias."""
    fan, q, kv = 1 / math.sqrt(f.hidden), f.heads * f.dim, f.kv_heads * f.dim

    def with_bias(name, shape, deviation, bias):
        yield name + ".weight", shape, deviation
        yield name + ".bias", shape[:1], bias
    yield "model.embed_tokens.weight", (f.vocab, f.hidden), 1.0
    for i in range(f.layers):
        p = f"model.layers.{i}."
        yield from with_bias(p + "input_layernorm", (f.hidden,), 0.1, 0.2)
        for part, rows in (("q", q), ("k", kv), ("v", kv)):
            yield from with_bias(p + f"self_attn.{part}_proj", (rows, f.hidden), 2 * fan, 0.5)
        yield from with_bias(p + "self_attn.dense", (f.hidden, q), 1 / math.sqrt(q), 0.3)
        yield from with_bias(p + "mlp.fc1", (f.intermediate, f.hidden), 1.5 * fan, 0.5)
        yield from with_bias(p + "mlp.fc2", (f.hidden, f.intermediate), 1 / math.sqrt(f.intermediate), 0.3)
    yield from with_bias("model.final_layernorm", (f.hidden,), 0.1, 0.2)
    yield from with_bias("lm_head", (f.vocab, f.hidden), 3 * fan, 0.5)


def gpt_oss_tensors(f):
    """Without a deviation: MXFP4's blocks or scales. Gate and up take turns."""
    fan, q, kv, wide = 1 / math.sqrt(f.hidden), f.heads * f.dim, f.kv_heads * f.dim, f.intermediate
    yield "model.embed_tokens.weight", (f.vocab, f.hidden), 1.0
    for i in range(f.layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (f.hidden,), 0.1
        for part, rows in (("q", q), ("k", kv), ("v", kv)):
            yield p + f"self_attn.{part}_proj.weight", (rows, f.hidden), 2 * fan
            yield p + f"self_attn.{part}_proj.bias", (rows,), 0.5
        yield p + "self_attn.sinks", (f.heads,), 2.0
        yield p + "self_attn.o_proj.weight", (f.hidden, q), 1 / math.sqrt(q)
        yield p + "self_attn.o_proj.bias", (f.hidden,), 0.3
        yield p + "post_attention_layernorm.weight", (f.hidden,), 0.1
        yield p + "mlp.router.weight", (f.experts, f.hidden), 4 * fan
        yield p + "mlp.router.bias", (f.experts,), 1.0
        for name, rows, cols in (("gate_up_proj", 2 * wide, f.hidden), ("down_proj", f.hidden, wide)):
            yield p + f"mlp.experts.{name}_bias", (f.experts, rows), 0.5
            yield p + f"mlp.experts.{name}_blocks", (f.experts, rows, cols // 32, 16), None
            yield p + f"mlp.experts.{name}_scales", (f.experts, rows, cols // 32), None
    yield "model.norm.weight", (f.hidden,), 0.1
    yield "lm_head.weight", (f.vocab, f.hidden), 3 * fan


def expert_tensors(f, router, prefix, names, part):
    """Scores far apart: a token whose experts change with a rounding is no measure of anything."""
    fan, width = 1 / math.sqrt(f.hidden), f.config.get("moe_intermediate_size", f.intermediate)
    gate, up, down = names
    yield router, (f.experts, f.hidden), 4 * fan
    for e in range(f.experts):
        yield f"{prefix}{e}.{gate}.weight", (width, f.hidden), 1.5 * fan
        yield f"{prefix}{e}.{up}.weight", (width, f.hidden), 1.5 * fan
        yield f"{prefix}{e}.{down}.weight", (f.hidden, width), part / math.sqrt(width)


def tensors(f):
    """(name, shape, standard deviation); the norms' values stand around 1."""
    if f.has("phi_names") or f.has("gpt_oss_names"):
        yield from (phi_tensors if f.has("phi_names") else gpt_oss_tensors)(f)
        return
    q, kv = f.heads * f.dim, f.kv_heads * f.dim
    # Against the model's own scalars, so that attention is as peaked, parts add as much and logits are as spread as
    # where there are none.
    embedded = math.sqrt(f.hidden) if f.architecture.startswith("gemma") else f.config.get("embedding_multiplier", 1)
    scores = f.config.get("attention_multiplier") or (f.config.get("query_pre_attn_scalar") or f.dim) ** -0.5
    spread = 3 / math.sqrt(f.hidden) * f.config.get("logits_scaling", 1)
    embedding = spread if f.tied else 1.0 / embedded
    peak = (scores * math.sqrt(f.dim)) ** -0.5
    part = max(1.0, embedding * embedded) / f.config.get("residual_multiplier", 1)
    yield "model.embed_tokens.weight", (f.vocab, f.hidden), embedding
    for i in range(f.layers):
        p = f"model.layers.{i}."
        fan = 1 / math.sqrt(f.hidden)
        yield p + "input_layernorm.weight", (f.hidden,), 0.1
        if f.has("more_biases"):
            yield p + "input_layernorm.bias", (f.hidden,), 0.2
        if f.has("fused"):
            yield p + "self_attn.qkv_proj.weight", (q + 2 * kv, f.hidden), 2 * fan
        else:
            for which, rows in (("q", q), ("k", kv), ("v", kv)):
                yield p + f"self_attn.{which}_proj.weight", (rows, f.hidden), 2 * fan * (1 if which == "v" else peak)
                if f.has("biases"):
                    yield p + f"self_attn.{which}_proj.bias", (rows,), 0.5
        if f.has("head_norms"):
            yield p + "self_attn.q_norm.weight", (f.dim,), 0.3
            yield p + "self_attn.k_norm.weight", (f.dim,), 0.3
        yield p + "self_attn.o_proj.weight", (f.hidden, q), part / math.sqrt(q)
        # As what a part adds passes through a norm, its size is that norm's.
        yield p + "post_attention_layernorm.weight", (f.hidden,), 2.0 if f.has("post_norms") else 0.1
        if f.has("post_norms"):
            yield p + "pre_feedforward_layernorm.weight", (f.hidden,), 0.1
        if f.has("more_biases"):
            yield p + "self_attn.o_proj.bias", (f.hidden,), 0.3
            yield p + "post_attention_layernorm.bias", (f.hidden,), 0.2
        if f.architecture == "phimoe":
            yield from expert_tensors(f, p + "block_sparse_moe.gate.weight", p + "block_sparse_moe.experts.",
                                      ("w1", "w3", "w2"), part)
            continue
        if f.has("experts"):
            yield from expert_tensors(f, p + "mlp.gate.weight", p + "mlp.experts.", ("gate_proj", "up_proj", "down_proj"), part)
            continue
        if f.has("fused"):
            yield p + "mlp.gate_up_proj.weight", (2 * f.intermediate, f.hidden), 1.5 * fan
        else:
            yield p + "mlp.gate_proj.weight", (f.intermediate, f.hidden), 1.5 * fan
            yield p + "mlp.up_proj.weight", (f.intermediate, f.hidden), 1.5 * fan
        yield p + "mlp.down_proj.weight", (f.hidden, f.intermediate), part / math.sqrt(f.intermediate)
        if f.has("post_norms"):
            yield p + "post_feedforward_layernorm.weight", (f.hidden,), 2.0
    yield "model.norm.weight", (f.hidden,), 0.1
    if f.has("more_biases"):
        yield "model.norm.bias", (f.hidden,), 0.2
        yield "lm_head.bias", (f.vocab,), 0.5
    if not f.tied:
        yield "lm_head.weight", (f.vocab, f.hidden), spread


def text_and_more(f):
    """With the names of a checkpoint that has another part, and a few tensors of that."""
    for name, shape, deviation in tensors(f):
        yield "language_model." + name, shape, deviation
    yield "multi_modal_projector.mm_input_projection_weight", (24, f.hidden), 0.1
    yield "vision_tower.vision_model.embeddings.patch_embedding.weight", (24, 3, 2, 2), 0.1
    yield "vision_tower.vision_model.post_layernorm.weight", (24,), 0.1


def encoded(values, dtype):
    if dtype == "F32":
        return array("f", values).tobytes()
    if dtype == "F16":
        return struct.pack(f"<{len(values)}e", *values)
    words = array("I", array("f", values).tobytes())
    return array("H", [(w + 0x7FFF + (w >> 16 & 1)) >> 16 for w in words]).tobytes()


def write_safetensors(path, named):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, dtype, data in named:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, _, data in named))


def beside_adapters(f):
    """As Phi-4-multimodal's files have them."""
    for name, shape, deviation in tensors(f):
        if not name.endswith("_proj.weight"):
            yield name, shape, deviation
            continue
        module = name.removesuffix(".weight")
        yield module + ".base_layer.weight", shape, deviation
        for of in ("speech", "vision"):
            yield f"{module}.lora_A.{of}.weight", (4, shape[1]), 1.0
            yield f"{module}.lora_B.{of}.weight", (shape[0], 4), 1.0
    yield "model.embed_tokens_extend.image_embed.img_projection.0.weight", (f.hidden, 8), 1.0
    yield "model.embed_tokens_extend.audio_embed.encoder.conv.weight", (4, 3, 2, 2), 1.0


def write_weights(f, folder, dtypes, shards, seed):
    """Tensors take the types of `dtypes` in turn. Their values are drawn from a few thousand normal ones: as good for a
    test as if each were its own, and much sooner made."""
    rng = random.Random(seed)
    normal = [rng.gauss(0, 1) for _ in range(4096)]
    named = []
    of = beside_adapters if f.adapters else text_and_more if f.part else tensors
    for i, (name, shape, deviation) in enumerate(of(f)):
        if deviation is None:
            # Of FP4's values, whose root mean square is about 3, a scale of 2 ** -5 makes a tenth.
            of = range(256) if name.endswith("_blocks") else (121, 122, 123)
            named.append((name, shape, "U8", bytes(rng.choices(of, k=math.prod(shape)))))
            continue
        mean = 1.0 if name.endswith("norm.weight") and not f.has("norms_less_one") else 0.0
        dtype = dtypes[i % len(dtypes)]
        choice = encoded([mean + deviation * x for x in normal], dtype)
        width = len(choice) // len(normal)
        choice = [choice[at:at + width] for at in range(0, len(choice), width)]
        named.append((name, shape, dtype, b"".join(rng.choices(choice, k=math.prod(shape)))))
    if shards == 1:
        write_safetensors(folder / "model.safetensors", named)
        return
    per, weight_map = -(-len(named) // shards), {}
    for s in range(shards):
        part, name = named[s * per:(s + 1) * per], f"model-{s + 1:05}-of-{shards:05}.safetensors"
        write_safetensors(folder / name, part)
        weight_map.update({tensor[0]: name for tensor in part})
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_tokenizer(f, folder):
    """The tokenizer's files; fixes the size of the vocabulary."""
    config = dict(f.tokenizer_config)
    if f.pre:
        f.byte_bpe = ByteBpe(f.pre, train_merges(tuple(map(spelled, CORPUS)), 260) + f.more_merges, WHOLE_WORDS)
        base = len(f.byte_bpe.vocab)
    else:
        spm = pieces(CORPUS, 200, f.control)
        (folder / "tokenizer.model").write_bytes(model_proto(spm))
        base = len(spm)
    added = {base + i: entry for i, entry in enumerate(f.added) if entry[0]}
    end = base + len(f.added)
    f.vocab = -(-end // f.pad_to) * f.pad_to
    f.ids = {entry[0]: i for i, entry in added.items()}
    config["added_tokens_decoder"] = {
        str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "special": s}
        for i, (t, s) in added.items()}
    if f.pre:
        f.byte_bpe.added = added
        (folder / "tokenizer.json").write_text(json.dumps(
            f.byte_bpe.tokenizer_json(f.template_bos, f.split, f.merges_as_pairs), ensure_ascii=False))
    elif added:
        (folder / "added_tokens.json").write_text(json.dumps({t: i for i, (t, _) in added.items()}))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_config(f, folder, **config):
    text = {**f.config, "hidden_size": f.hidden, "intermediate_size": f.intermediate,
            "num_hidden_layers": f.layers, "num_attention_heads": f.heads, "num_key_value_heads": f.kv_heads,
            "vocab_size": f.vocab, "tie_word_embeddings": f.tied, "torch_dtype": "bfloat16", **config}
    # The published ids lie outside of these small vocabularies: FAMILIES has the tokens' texts.
    ends = text["eos_token_id"]
    text["eos_token_id"] = [f.ids.get(e, e) for e in ends] if isinstance(ends, list) else f.ids.get(ends, ends)
    if f.head_dim:
        text["head_dim"] = f.head_dim
    if f.part:
        text = nested(f, text)
    (folder / "config.json").write_text(json.dumps(text, indent=1))


def nested(f, text):
    """As Gemma 3 4B has it: what differs from its class's defaults, under the part's name."""
    of_class = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072,
                "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "query_pre_attn_scalar": None}
    whole = {k: text.pop(k) for k in ("architectures", "model_type", "eos_token_id", "torch_dtype")}
    part = {k: v for k, v in text.items() if v is not None and not (k in of_class and v == of_class[k])}
    return {**whole, "boi_token_index": 255999, "mm_tokens_per_image": 256, "vision_config": {"hidden_size": 1152},
            f.part: {**part, "model_type": "gemma3_text", "max_position_embeddings": 131072}}


def write(name, folder, dtypes=("BF16",), shards=1, seed=1, sizes=None, **config):
    """Writes the family's folder; `sizes` overrides members of Family ("hidden"), `config` those of config.json. Returns
    what was written."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    f = replace(FAMILIES[name](), **(sizes or {}))
    write_tokenizer(f, folder)
    write_config(f, folder, **config)
    (folder / "LICENSE").write_text("Public domain: random numbers.\n")
    write_weights(f, folder, dtypes, shards, seed)
    return f
