#include "pipeline/format/registry/registry.h"

#include "pipeline/format/gguf/write/gguf_target.h"
#include "pipeline/format/mlx/mlx_target.h"
#include "pipeline/format/onnx/onnx_target.h"
#include "pipeline/format/openvino/openvino_target.h"
#include "pipeline/format/safetensors/write/safetensors_target.h"

namespace quantfleet::pipeline {
namespace {

constexpr const TargetFormat* kFormats[] = {
    &kGgufFormat, &kOnnxFormat, &kOpenVinoFormat, &kMlxFormat, &kSafetensorsFormat,
};

}  // namespace

std::span<const TargetFormat* const> Formats() { return kFormats; }

const TargetFormat* FindFormat(std::string_view name) {
  for (const TargetFormat* format : kFormats)
    if (format->name == name) return format;
  return nullptr;
}

}  // namespace quantfleet::pipeline
