// The memory terms of a manifest, from a model's hyper-parameters. Pure.
#pragma once

#include "pipeline/model/description.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::pipeline {

// What the embedded engine takes to run weights of so many bytes: any of its types of KV cache, its
// own buffers. Layers with a window keep that and a pass of tokens; llama.cpp's caches have the
// same sizes, but for such layers up to 384 tokens more. No runtime of GGUF applies Phi-3's sliding
// window, so its cache is never shorter than the context.
v1::Memory EngineMemory(const Hyperparameters& hyper, uint64_t weights);

// What another runtime takes whose cache holds elements of `kv_type`. Its buffers are an estimate:
// of one token's activations and logits, and a row of scores per head. `window_only`: of layers
// with a window it keeps that alone; otherwise the whole context.
v1::Memory RuntimeMemory(const Hyperparameters& hyper, uint64_t weights, DType kv_type,
                         bool window_only = false);

}  // namespace quantfleet::pipeline
