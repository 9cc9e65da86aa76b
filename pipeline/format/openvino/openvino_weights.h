// The weights of a model: where each lies in the .bin, and the layers that widen it to F32. Not
// thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/family/family.h"
#include "pipeline/format/layout/data_file.h"
#include "pipeline/format/openvino/ir_constants.h"

namespace quantfleet::pipeline {

struct OpenVinoTensor {
  OutputTensor is;
  DType dtype;  // F32, F16, Q8_0, Q4_0
};

// The name that a tensor has in the graph: Hugging Face's. Where experts' activation has limits,
// gate and up of an expert are one, its rows of gate before those of up.
std::string OpenVinoName(const Family& family, Role role, int layer);

class OpenVinoWeights {
 public:
  // Gives every tensor its place in `data`. `tensors` are the model's by OpenVinoName. All have to
  // outlive this.
  OpenVinoWeights(const ModelDescription& model, const std::vector<OpenVinoTensor>& tensors,
                  IrGraph& graph, DataFile& data);

  bool Has(Role role, int layer) const { return stored_.contains(NameOf(role, layer)); }
  // The weight's name: "model.norm.weight".
  std::string NameOf(Role role, int layer) const;
  // The weight in F32: [rows, cols], or [1, 1, cols] of one dimension; of experts [experts, rows,
  // cols] and [experts, 1, cols]; of sinks [1, heads, 1, 1]. Its layers are added once.
  IrValue Widened(Role role, int layer, IrConstants& constants);

 private:
  struct Stored {
    const OpenVinoTensor* tensor;
    DataFile::Region codes;        // the values themselves where it is a float
    DataFile::Region scales;       // of a quantized one
    DataFile::Region zero_points;  // of one that has them
    std::optional<IrValue> widened = {};
  };
  IrValue Widen(const Stored& stored, IrConstants& constants);
  IrValue Decoded(const Stored& stored);
  IrValue Constant(std::string name, IrType type, const IrShape& shape,
                   const DataFile::Region& region);
  IrValue Convert(std::string name, IrValue value, IrType to);

  const ModelDescription& model_;
  IrGraph& graph_;
  std::map<std::string, Stored> stored_;
};

}  // namespace quantfleet::pipeline
