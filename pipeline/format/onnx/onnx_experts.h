// Mixtures of experts in an ONNX graph (docs/formats/onnx.md): in ONNX Runtime's own operators
// where its CPU kernels hold the weights' types, otherwise in a loop over the experts that some
// token chose. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "pipeline/family/family.h"
#include "pipeline/format/onnx/onnx_operators.h"

namespace quantfleet::pipeline {

// What a layer's experts consist of, each tensor that of all experts; a bias is null where the
// family has none.
struct OnnxMixture {
  const OnnxTensor &gate, &up, &down;
  const OnnxTensor *gate_bias, *up_bias, *down_bias;
};

class OnnxExperts {
 public:
  // `family` has to outlive this, and what `site` has.
  OnnxExperts(const Family& family, const OnnxSite& site, OnnxFlavour flavour);

  // What the experts make of x, [batch, step, hidden], of which the router made `scores`, [batch,
  // step, experts]. `name` begins the names of all nodes: "model.layers.3.mlp".
  std::string Run(const std::string& name, const OnnxMixture& mixture, const std::string& x,
                  const std::string& scores);

 private:
  // A part of a stored weight, and how many elements of it a row of a matrix has.
  struct StoredPart {
    const char* suffix;  // behind the weight's name
    Part part;
    int64_t cols;
  };
  // The experts of each token, and what each of them counts: [tokens, used].
  struct Chosen {
    std::string experts, shares;
  };

  bool HasKernel(const OnnxMixture& mixture) const;
  std::string Fused(const std::string& name, const OnnxMixture& mixture, const std::string& x,
                    const std::string& scores);
  std::string Kernel(const std::string& name, const OnnxMixture& mixture, const std::string& x,
                     const std::string& scores);
  std::vector<std::string> FusedInputs(const std::string& name, const OnnxMixture& mixture);

  std::string Loop(const std::string& name, const OnnxMixture& mixture, const std::string& x,
                   const std::string& scores);
  onnx::GraphProto LoopBody(const std::string& name, const OnnxMixture& mixture,
                            const std::string& tokens, const Chosen& chosen,
                            const std::string& active);
  std::string Product(OnnxGraph& body, const OnnxTensor& weight, const OnnxTensor* bias,
                      const std::string& expert, const std::string& x);
  std::string Decoded(OnnxGraph& body, const OnnxTensor& weight, const std::string& expert);
  std::string Gated(OnnxGraph& body, const std::string& name, std::string gate, std::string up);

  Chosen Choose(const std::string& name, const std::string& scores);
  std::string SparseMixerShare(const std::string& name, const std::string& scores,
                               const std::string& best, const std::string& before);
  std::string AsScores(const std::string& name, const std::string& scores, const Chosen& chosen);

  // Between [batch, step, hidden] and [tokens, hidden].
  std::string Tokens(const std::string& name, const std::string& x);
  std::string AsBatch(const std::string& name, const std::string& x, const std::string& tokens);

  std::vector<StoredPart> PartsOf(const OnnxTensor& weight) const;
  std::string Store(const OnnxTensor& weight, const StoredPart& part, std::vector<int64_t> dims);
  std::string StoreStack(const OnnxTensor& weight, const StoredPart& part);
  std::string Woven(const std::string& name, const std::vector<std::string>& parts,
                    std::vector<int64_t> dims);
  std::string Cast(OnnxGraph& graph, const std::string& name, const std::string& x, DType from,
                   DType to);

  // Constants, each once.
  std::string Integers(std::string name, const std::vector<int64_t>& values);
  std::string Integer(std::string name, int64_t value);
  std::string Number(std::string name, float value);  // F32, a scalar
  std::string Float(std::string name, float value);   // of the graph's float type, [1]

  const Family& family_;
  const Hyperparameters& h_;
  const DType float_;
  const bool exact_, microsoft_;
  OnnxGraph& graph_;
  OnnxData& data_;
};

}  // namespace quantfleet::pipeline
