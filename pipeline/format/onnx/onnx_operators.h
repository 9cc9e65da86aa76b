// What the two flavours of ONNX folders say each in its own operators: products with quantized
// weights, norms, attention (docs/formats/onnx.md). The rest of the graph is onnx_decoder's. Not
// thread-safe.
#pragma once

#include <memory>

#include "pipeline/format/onnx/onnx_data.h"
#include "pipeline/format/onnx/onnx_graph.h"

namespace quantfleet::pipeline {

// The accuracy_level of products with codes. At 4 ONNX Runtime quantizes each group of activations
// to 8 bits and multiplies integers, as llama.cpp does; at 0, on a CPU, it decodes all weights for
// each product.
constexpr int64_t AccuracyLevel(bool exact) { return exact ? 0 : 4; }

enum class OnnxFlavour {
  kMicrosoft,  // ONNX Runtime's own operators beside the standard's
  kStandard,   // the standard's alone, of opset 21
};

// Where an implementation adds to; all of it outlives the implementation.
struct OnnxSite {
  const Hyperparameters& hyper;
  DType float_type;  // of activations and the KV cache
  bool exact;        // MatMulNBits keeps activations as they are
  bool web;          // for ONNX Runtime in a browser
  OnnxGraph& graph;
  OnnxData& data;
};

// Attention of one layer.
struct OnnxAttention {
  int layer;
  // Which of the values cos_cache and sin_cache, with this behind their names, turn q and k; null:
  // none do.
  const char* tables;
  int64_t window;  // positions that are seen, a token's own among them; 0: all in front of it
  std::string sinks = {};  // of each head, a score that no position has; empty: none
};

// Every function adds nodes and returns the name of a value in the graph.
class OnnxOperators {
 public:
  virtual ~OnnxOperators() = default;

  // What attention wants to know of input_ids and attention_mask; comes first. Returns the length
  // of past and present together, a scalar int32.
  virtual std::string Lengths() = 0;
  // The rows of a quantized embedding for input_ids.
  virtual std::string Lookup(const OnnxTensor& embedding) = 0;
  // x times the transposed quantized weight, called `name`.
  virtual std::string Multiply(const OnnxTensor& weight, const std::string& name,
                               const std::string& x) = 0;
  // The RMS norm of x, or of x + skip, times `weight`, which `of` calls. `sum` gets x + skip where
  // it is wanted.
  virtual std::string Normalize(const std::string& of, const std::string& x,
                                const std::string& skip, const std::string& weight,
                                std::string* sum) = 0;
  // Takes and yields the layer's past and present. qkv and what is returned are [batch, step, heads
  // * size], q before k before v.
  virtual std::string Attend(const OnnxAttention& how, const std::string& qkv) = 0;
};

std::unique_ptr<OnnxOperators> MicrosoftOperators(const OnnxSite& site);
std::unique_ptr<OnnxOperators> StandardOperators(const OnnxSite& site);

}  // namespace quantfleet::pipeline
