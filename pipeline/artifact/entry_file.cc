#include "pipeline/artifact/entry_file.h"

#include <algorithm>

namespace quantfleet::pipeline {
namespace {

// Formats that are not here are folders to their runtimes.
struct Entry {
  std::string_view format, ending;
};
constexpr Entry kEntries[] = {
    {kEngineFormat, ".gguf"},
    {"onnx", ".onnx"},
    {"openvino", ".xml"},
};

}  // namespace

std::string EntryFile(const v1::Manifest& manifest) {
  const auto entry = std::ranges::find(kEntries, manifest.target().format(), &Entry::format);
  if (entry == std::end(kEntries)) return "";
  for (const v1::ArtifactFile& file : manifest.files())
    if (file.path().ends_with(entry->ending)) return file.path();
  return "";
}

}  // namespace quantfleet::pipeline
