// The memory terms of a manifest, from a model's hyper-parameters. Pure.
#pragma once

#include "pipeline/model/description.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::pipeline {

// What the embedded engine takes to run weights of so many bytes: any of its types of KV cache, its
// own buffers. llama.cpp's caches have the same sizes. No runtime of GGUF applies Phi-3's sliding
// window, so the cache is never shorter than the context.
v1::Memory EngineMemory(const Hyperparameters& hyper, uint64_t weights);

// What another runtime takes whose cache holds elements of `kv_type`. Its buffers are an estimate:
// of one token's activations and logits, and a row of scores per head.
v1::Memory RuntimeMemory(const Hyperparameters& hyper, uint64_t weights, DType kv_type);

}  // namespace quantfleet::pipeline
