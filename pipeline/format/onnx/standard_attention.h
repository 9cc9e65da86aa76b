// Attention in the standard's operators, with or without a cache of what came before. Not
// thread-safe.
#pragma once

#include <map>
#include <set>
#include <string>

#include "pipeline/format/onnx/onnx_operators.h"

namespace quantfleet::pipeline {

class StandardAttention {
 public:
  struct Kind {
    bool cached = false;  // past and present are inputs and outputs
    bool causal = true;   // or a token sees those behind it, too
    DType type = DType::kF32;
  };
  // All have to outlive this.
  StandardAttention(const Hyperparameters& hyper, OnnxGraph& graph, OnnxData& data, Kind kind)
      : h_(hyper), graph_(graph), data_(data), kind_(kind) {}

  // As OnnxOperators' functions of these names.
  std::string Lengths();
  std::string Attend(const OnnxAttention& how, const std::string& qkv);
  // After Lengths: the places of input_ids in their texts, [batch, step] int64, counted without
  // what attention_mask hides.
  const std::string& positions() const { return positions_; }

 private:
  std::string Heads(const std::string& x, const std::string& name, int64_t heads);
  std::string Seen(const std::string& keys, const std::string& column);
  std::string InWindow(int64_t window, const std::string& keys, const std::string& column,
                       const std::string& seen);
  std::string Bias(const std::string& name, const std::string& visible);
  std::string SharesBesideSinks(const OnnxAttention& how, const std::string& name,
                                const std::string& scores);
  std::string Capped(const std::string& name, const std::string& x);
  std::string Rows(const char* what, const char* tables);
  std::string Rotate(const OnnxAttention& how, const std::string& x);
  void Split(const std::string& name, const std::string& x, int64_t axis,
             const std::vector<int64_t>& sizes, std::vector<std::string> others);
  std::string Length(const std::string& name, const char* of, const std::string& one);

  std::string Node(const char* op, std::string name, std::vector<std::string> inputs,
                   std::vector<OnnxAttribute> attributes = {}, std::vector<std::string> more = {});
  // Constants, each once.
  std::string Integer(std::string name, int64_t value);
  std::string Integers(std::string name, const std::vector<int64_t>& values);
  std::string Number(std::string name, float value);
  std::string Axis(int64_t axis);

  const Hyperparameters& h_;
  OnnxGraph& graph_;
  OnnxData& data_;
  const Kind kind_;
  std::map<int64_t, std::string> biases_;  // by window
  std::string positions_;
  std::set<std::string> rows_;  // that are there
};

}  // namespace quantfleet::pipeline
