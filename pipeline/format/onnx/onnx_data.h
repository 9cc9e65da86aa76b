// The weights of an ONNX model: what lies where in the file beside it, and the initializers that
// point there. Each tensor begins on a page, so that runtimes may map it. Not thread-safe.
#pragma once

#include <string>

#include "onnx/onnx.pb.h"
#include "pipeline/format/layout/data_file.h"

namespace quantfleet::pipeline {

struct OnnxTensor {
  OutputTensor is;
  DType dtype;  // F32, F16, or one with signed codes or zero points
};

class OnnxData {
 public:
  // Initializers go into `graph`, which has to outlive this; `model` too. `path` is the file's in
  // the artifact, beside the graph's.
  OnnxData(const ModelDescription& model, onnx::GraphProto& graph, std::string_view path)
      : graph_(graph), location_(path.substr(path.rfind('/') + 1)), file_(model, path, kPage) {}

  // A part of a weight under the name and shape that the graph knows it by.
  void AddPart(std::string name, const OnnxTensor& tensor, Part part, std::vector<int64_t> dims);
  // The bytes of the weight's part again, in another shape: nothing is stored twice.
  void AddView(std::string name, std::string_view of, std::vector<int64_t> dims);
  // Values that are known already, F32 or F16 as `type` says; row-major.
  void AddValues(std::string name, std::vector<int64_t> dims, DType type,
                 const std::vector<float>& values);
  bool Has(std::string_view name) const { return Find(name) != nullptr; }

  PlannedFile TakeFile() { return file_.Take(); }

 private:
  const onnx::TensorProto* Find(std::string_view name) const;
  void Point(std::string name, int type, const std::vector<int64_t>& dims,
             const DataFile::Region& region);

  static constexpr uint64_t kPage = 4096;

  onnx::GraphProto& graph_;
  const std::string location_;  // as the graph names the file
  DataFile file_;
};

// ONNX's number for an element of a part.
int OnnxType(DType dtype, Part part);

}  // namespace quantfleet::pipeline
