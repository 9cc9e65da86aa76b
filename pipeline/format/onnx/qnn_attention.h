// Attention of a graph with fixed shapes and scales (docs/formats/qnn.md): a cache that holds the
// whole context, in which a step's keys and values take their places, in operators of the standard.
// Not thread-safe.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "pipeline/format/onnx/qnn_decoder.h"
#include "pipeline/format/onnx/qnn_graph.h"

namespace quantfleet::pipeline {

// The RMS norm of x's last axis, times `weight`: x of length 1 times the root of its width. The
// norm's epsilon is left out.
QnnValue QnnRmsNorm(QnnGraph& graph, const std::string& of, const QnnValue& x,
                    const std::vector<float>& weight, const ValueRange& range);

// cap * tanh(x / cap)
QnnValue QnnCapped(QnnGraph& graph, const std::string& name, const QnnValue& x, float cap);

class QnnAttention {
 public:
  // Within what a layer's steps are, as ranges.json has them; norms of heads where there are some.
  struct Layer {
    int layer;
    ValueRange turned_queries, turned_keys, scores, attended;
    const std::vector<float>*query_norm, *key_norm;
  };

  QnnAttention(const QnnParts& parts, int64_t tokens, QnnGraph& graph);

  // What follows from past_seq_len, before any layer: where the step's tokens are, and what they
  // see.
  void Places();
  // Products with their biases, [tokens, heads * size], to the same of queries. Takes and yields
  // the layer's past and present.
  QnnValue Attend(const Layer& how, const QnnValue& q, const QnnValue& k, const QnnValue& v);

 private:
  // [tokens, heads * size] to [kv heads, queries of each, tokens, size], or less the second of it.
  QnnValue Heads(const std::string& name, const QnnValue& x, bool queries);
  QnnValue Rotate(const std::string& name, int layer, const QnnValue& x, const ValueRange& range);
  // By which layers turn whose tables have this behind their names.
  void AddAngles(const std::string& behind, const Hyperparameters& h);
  // The cache with the step in it.
  QnnValue Present(int layer, const char* what, const QnnValue& now);
  QnnValue Scores(const Layer& how, const QnnValue& q, const QnnValue& keys);
  std::string Shape(const std::vector<int64_t>& dims);
  std::string Seen(int64_t window);

  const QnnParts& parts_;
  const Hyperparameters& h_;
  const int64_t tokens_, context_;
  QnnGraph& graph_;
  std::string queries_, column_, keys_, is_new_, place_;
  struct Angles {
    QnnValue cos, sin;  // of the step's positions
  };
  std::map<std::string, Angles> angles_;
  std::set<int64_t> seen_;  // windows whose Seen is there
};

}  // namespace quantfleet::pipeline
