// An OpenVINO model (IR version 11) as it is run: layers from the XML, constants from the .bin,
// state between runs. Written from OpenVINO's specification for the tests; shares nothing with
// quantfleet's writer.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/judges/openvino/tensor.h"

namespace openvino_ir {

using Value = std::shared_ptr<const Tensor>;

struct Layer {
  std::string name, type;
  std::map<std::string, std::string> data;
  std::vector<std::pair<size_t, size_t>> inputs;  // layer, output
  size_t outputs = 0;
  std::string tensor_name;  // of the first output
  bool fixed = false;       // depends on constants alone

  const std::string& Attribute(const std::string& key) const;  // throws where it is not there
};

class Graph {
 public:
  // FOLDER/openvino_model.xml and .bin; throws std::runtime_error.
  explicit Graph(const std::filesystem::path& folder);

  // One step: the tensor called `result`, from these parameters; the state goes on.
  Value Run(const std::map<std::string, Tensor>& parameters, const std::string& result);
  void ResetState() { state_.clear(); }

 private:
  Tensor Constant(const Layer& layer) const;
  std::vector<Tensor> Evaluate(const Layer& layer, const std::vector<const Tensor*>& in,
                               const std::map<std::string, Tensor>& parameters);

  std::vector<Layer> layers_;  // each behind those it reads
  std::string bin_;
  std::map<size_t, std::vector<Value>> fixed_;  // what never changes, once it was calculated
  std::map<std::string, Value> state_;          // by variable
};

// The stateless operations (ops.cc); throws for one that it does not know.
std::vector<Tensor> Apply(const Layer& layer, const std::vector<const Tensor*>& in);

}  // namespace openvino_ir
