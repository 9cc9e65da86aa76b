#include "pipeline/artifact/kind.h"

#include <gtest/gtest.h>

#include "pipeline/artifact/manifest.h"

namespace quantfleet::pipeline {
namespace {

v1::Manifest Of(std::string_view format, v1::Manifest::Kind kind) {
  v1::Manifest manifest;
  manifest.mutable_target()->set_format(std::string(format));
  manifest.set_kind(kind);
  return manifest;
}

TEST(Kind, WithoutOneTheFormatTells) {
  for (const char* format : {"gguf", "onnx", "openvino", "mlx", ""})
    EXPECT_EQ(KindOf(Of(format, v1::Manifest::KIND_UNSPECIFIED)), ArtifactKind::kModel) << format;
  EXPECT_EQ(KindOf(Of(kAgentFormat, v1::Manifest::KIND_UNSPECIFIED)), ArtifactKind::kProgram);
}

TEST(Kind, WhereTheManifestSaysItItCounts) {
  for (const std::string_view format : {kAgentFormat, std::string_view("elf")})
    EXPECT_EQ(KindOf(Of(format, v1::Manifest::KIND_PROGRAM)), ArtifactKind::kProgram) << format;
}

TEST(Kind, EmbeddingModelsSaySo) {
  EXPECT_EQ(KindOf(Of("gguf", v1::Manifest::KIND_EMBEDDING_MODEL)), ArtifactKind::kEmbeddingModel);
}

TEST(Kind, OneNameIsReserved) {
  EXPECT_EQ(KindOfModel(kAgentModel), ArtifactKind::kProgram);
  for (const char* model : {"phi3", "quantfleet-agent-2", "Quantfleet-agent", ""})
    EXPECT_EQ(KindOfModel(model), ArtifactKind::kModel) << model;
}

}  // namespace
}  // namespace quantfleet::pipeline
