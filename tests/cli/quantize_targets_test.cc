#include "cli/quantize_targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/memory_file.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::cli {
namespace {

using pipeline::DType;
using ::testing::ElementsAre;
using testing::MemoryFileSystem;

TEST(QuantizeTargets, NamesStayAsTheyAre) {
  MemoryFileSystem files;
  const auto specs = ReadTargets(files, {.targets = {"gguf:q4_k_m", "gguf:f16"}});
  ASSERT_OK(specs);
  ASSERT_EQ(specs->size(), 2u);
  EXPECT_EQ((*specs)[0].name(), "gguf-q4_k_m");
  EXPECT_FALSE((*specs)[0].own.has_value());
  EXPECT_TRUE((*specs)[0].clauses().empty());
}

TEST(QuantizeTargets, OptionsGoBeforeWhatAFileSays) {
  MemoryFileSystem files;
  files.Put("dir/r.toml",
            "name = 'mine'\nbase = 'q5_0'\noutput = 'q6_k'\n[[override]]\nrole = 'attn_v'\ntype = "
            "'q8_0'\n");
  const auto specs = ReadTargets(files, {.targets = {"gguf:dir/r.toml", "gguf:q4_0"},
                                         .tensor_types = {"attn=q5_1"},
                                         .output_type = "q8_0",
                                         .embedding_type = "F16",
                                         .pure = true});
  ASSERT_OK(specs);
  EXPECT_EQ((*specs)[0].name(), "gguf-mine");
  EXPECT_THAT((*specs)[0].clauses(), ElementsAre("base=q5_0", "pure", "output=q8_0",
                                                 "embedding=f16", "attn=q5_1", "role:attn_v=q8_0"));
  EXPECT_EQ((*specs)[1].name(), "gguf-q4_0");
  EXPECT_THAT((*specs)[1].clauses(),
              ElementsAre("pure", "output=q8_0", "embedding=f16", "attn=q5_1"));
  EXPECT_EQ((*specs)[1].own->body, DType::kQ4_0);
}

TEST(QuantizeTargets, AFileServesEveryFormat) {
  MemoryFileSystem files;
  files.Put("r.toml",
            "name = 'mine'\nbase = 'int4-g64-asym-pure'\n[[override]]\nrole = 'attn_v'\ntype = "
            "'u8_g64'\n");
  files.Put("standard.toml", "name = 'standard'\nbase = 'int8-qdq'\nembedding = 'f16'\n");
  const auto specs =
      ReadTargets(files, {.targets = {"onnx:r.toml", "mlx:r.toml", "onnx:standard.toml"}});
  ASSERT_OK(specs);
  EXPECT_EQ((*specs)[0].name(), "onnx-mine");
  EXPECT_EQ((*specs)[1].name(), "mlx-mine");
  EXPECT_EQ((*specs)[0].own->body, *pipeline::DTypeFromName("u4_g64"));
  EXPECT_THAT((*specs)[0].clauses(),
              ElementsAre("base=int4-g64-asym-pure", "pure", "role:attn_v=u8_g64"));
  EXPECT_FALSE((*specs)[0].own->standard_operators);
  EXPECT_TRUE((*specs)[2].own->standard_operators);
  EXPECT_THAT((*specs)[2].clauses(), ElementsAre("base=int8-qdq", "embedding=f16"));
}

TEST(QuantizeTargets, WhatIsWrongNamesOptionOrFile) {
  MemoryFileSystem files;
  files.Put("r.toml", "name = 'mine'\n");
  EXPECT_ERROR(ReadTargets(files, {.targets = {"gguf:q4"}}), kInvalidArgument, "'gguf:q4'");
  EXPECT_ERROR(ReadTargets(files, {.targets = {"tflite:r.toml"}}), kInvalidArgument,
               "'tflite:r.toml'");
  EXPECT_ERROR(ReadTargets(files, {.targets = {"gguf:.toml"}}), kNotFound, ".toml");
  EXPECT_ERROR(ReadTargets(files, {.targets = {"gguf:none.toml"}}), kNotFound, "none.toml");
  EXPECT_ERROR(ReadTargets(files, {.targets = {"gguf:r.toml"}}), kInvalidArgument, "r.toml",
               "base");
  EXPECT_ERROR(ReadTargets(files, {.targets = {"gguf:f16"}, .tensor_types = {"a"}}),
               kInvalidArgument, "--tensor-type: ");
  EXPECT_ERROR(ReadTargets(files, {.targets = {"gguf:f16"}, .output_type = "q9"}), kInvalidArgument,
               "--output-type: ");
  EXPECT_ERROR(ReadTargets(files, {.targets = {"gguf:f16"}, .embedding_type = "q9"}),
               kInvalidArgument, "--embedding-type: ");
  EXPECT_ERROR(ReadTargets(files, {.targets = {"gguf:f16"},
                                   .tensor_types = std::vector<std::string>(257, "a=f16")}),
               kInvalidArgument, "--tensor-type", "257", "256");
}

}  // namespace
}  // namespace quantfleet::cli
