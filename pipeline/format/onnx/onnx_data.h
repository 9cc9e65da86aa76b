// The weights of an ONNX model: what lies where in the files beside it, and the initializers that
// point there. Each tensor begins on a page, so that runtimes may map it. Not thread-safe.
#pragma once

#include <string>
#include <vector>

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
  // the artifact, beside the graph's. A file ends before it would exceed `most` bytes; the next
  // ones are called `path`_1, `path`_2, ...
  OnnxData(const ModelDescription& model, onnx::GraphProto& graph, std::string_view path,
           uint64_t most)
      : model_(model), graph_(graph), path_(path), most_(most) {
    files_.emplace_back(model, path, kPage);
  }

  // A part of a weight under the name and shape that the graph knows it by.
  void AddPart(std::string name, const OnnxTensor& tensor, Part part, std::vector<int64_t> dims);
  // The bytes of the weight's part again, in another shape: nothing is stored twice.
  void AddView(std::string name, std::string_view of, std::vector<int64_t> dims);
  // Values that are known already, F32 or F16 as `type` says; row-major.
  void AddValues(std::string name, std::vector<int64_t> dims, DType type,
                 const std::vector<float>& values);
  // The same of another type, one of ONNX's.
  void AddBytes(std::string name, std::vector<int64_t> dims, int type, std::string bytes);
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  // Of an initializer that there is.
  std::vector<int64_t> Shape(std::string_view name) const;

  std::vector<PlannedFile> TakeFiles();

 private:
  const onnx::TensorProto* Find(std::string_view name) const;
  // The file that has room for so many bytes.
  DataFile& FileFor(uint64_t bytes);
  // To a region of the last file.
  void Point(std::string name, int type, const std::vector<int64_t>& dims,
             const DataFile::Region& region);

  static constexpr uint64_t kPage = 4096;

  const ModelDescription& model_;
  onnx::GraphProto& graph_;
  const std::string path_;
  const uint64_t most_;
  std::vector<DataFile> files_;  // never empty
};

// ONNX's number for an element of a part.
int OnnxType(DType dtype, Part part);

}  // namespace quantfleet::pipeline
