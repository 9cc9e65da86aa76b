// A GGUF model in one file, or in several as llama.cpp splits it: the first has the keys, and each
// the descriptions of its own tensors. The files are untrusted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "pipeline/format/gguf/read/gguf_file.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

struct GgufShards {
  std::vector<fs::path> paths;
  std::vector<std::unique_ptr<File>> files;  // by GgufTensor::shard
  std::vector<GgufFile> headers;             // each as it stands
  GgufFile model;                            // the first one's keys with the tensors of all

  // `path` is any one of them; the others are found by their names. Errors name the file, and what
  // is missing.
  static absl::StatusOr<GgufShards> Open(FileSystem& files, const fs::path& path);

  // The model as one file: what is stored, if it is one already, else what joining the files gives,
  // without the keys that tell how it was split. Tensors that are no weights are in `rest`.
  using IsWeight = bool (*)(const GgufTensor& tensor);
  absl::StatusOr<StoredModel> Joined(IsWeight is_weight) const;

 private:
  absl::StatusOr<std::string> JoinedHeader() const;
};

}  // namespace quantfleet::pipeline
