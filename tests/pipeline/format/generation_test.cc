// What ends a generation, and how to sample where nobody says, in every format: none may lose one
// of several ends.
#include "pipeline/format/layout/generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "pipeline/format/gguf/read/gguf_names.h"
#include "pipeline/format/gguf/read/gguf_source.h"
#include "pipeline/format/gguf/write/gguf_target.h"
#include "pipeline/format/mlx/mlx_target.h"
#include "pipeline/format/onnx/onnx_target.h"
#include "pipeline/format/openvino/openvino_target.h"
#include "pipeline/format/registry/open_model.h"
#include "tests/pipeline/format/demo_layout.h"
#include "tests/support/memory_file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"
#include "text/tokenizer/end_tokens.h"

namespace quantfleet::pipeline {
namespace {

using ::testing::ElementsAre;
using testing::MemoryFileSystem;
using testing::TempDir;
using testing::TinyModelOptions;
namespace json = boost::json;

std::string Text(const TargetLayout& layout, std::string_view path) {
  return FileOf(layout, path).fixed.at(0).bytes;
}
json::object Json(const TargetLayout& layout, std::string_view path) {
  return json::parse(Text(layout, path)).as_object();
}

class Generation : public ::testing::Test {
 protected:
  // Control tokens stand from 314 on: vocabularies have 320 tokens.
  const std::vector<std::string> chat_ = {"<|endoftext|>", "<|assistant|>", "<|user|>",
                                          "<|end|>",       "<|x|>",         "<|y|>"};

  std::unique_ptr<ModelSource> Open(TinyModelOptions options, std::string_view family = "phi3") {
    if (options.added.empty()) options.added = chat_;
    testing::WriteTinyModel(dir_.path(), family, options);
    auto source = OpenModel(RealFileSystem(), dir_.path());
    EXPECT_OK(source);
    return source.ok() ? *std::move(source) : nullptr;
  }
  // The header of the GGUF that is made of it, zeros for weights.
  void MakeGguf(const ModelSource& source) {
    const auto layout = PlanGguf(source.description(), {}, *FindRecipe("f16"));
    ASSERT_OK(layout);
    const OutputFile& file = FileOf(*layout, "model.gguf");
    std::string bytes = file.fixed[0].bytes;
    bytes.resize(file.size, '\0');
    files_.Put("m.gguf", bytes);
  }
  GgufFile Header() { return *GgufFile::Read(**files_.Open("m.gguf", OpenMode::kRead), "m.gguf"); }
  std::unique_ptr<GgufSource> Reread() { return *GgufSource::Open(files_, "m.gguf"); }

  TempDir dir_;
  MemoryFileSystem files_;
};

TEST_F(Generation, AGgufNamesEveryEnd) {
  const auto source = Open({.generation_config = R"({"eos_token_id": [2, 315, 317, 318]})"});
  MakeGguf(*source);
  const GgufFile header = Header();
  EXPECT_EQ(**header.Integer("tokenizer.ggml.eos_token_id"), 2);
  EXPECT_EQ(**header.Integer("tokenizer.ggml.eot_token_id"), 317);  // <|end|> ends a turn
  EXPECT_EQ(**header.Integer("tokenizer.ggml.eom_token_id"),
            315);  // llama.cpp would not know it by its text
  EXPECT_THAT(**header.Integers("tokenizer.ggml.eos_token_ids"), ElementsAre(2, 315, 317, 318));
  // <|endoftext|> is none of them: the list is complete, so that the way through a GGUF changes
  // nothing.
  EXPECT_THAT(text::EndIds(Reread()->description().tokenizer), ElementsAre(2, 315, 317, 318));
}

TEST_F(Generation, AGgufWithOneEndSaysSo) {
  const auto source = Open({.added = {"<|a|>"}});
  MakeGguf(*source);
  EXPECT_THAT(**Header().Integers("tokenizer.ggml.eos_token_ids"), ElementsAre(2));
  for (const char* key :
       {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id", "general.sampling.temp",
        "general.sampling.top_k", "general.sampling.top_p"})
    EXPECT_EQ(Header().Find(key), nullptr) << key;
}

TEST_F(Generation, TheEndOfAMessageHasItsOwnKey) {
  const auto source = Open({.generation_config = R"({"eos_token_id": [316, 317, 318]})",
                            .added = {"<|a|>", "<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"}},
                           "llama");
  MakeGguf(*source);
  const GgufFile header = Header();
  EXPECT_EQ(**header.Integer("tokenizer.ggml.eos_token_id"),
            2);  // the tokenizer's own goes before the list's
  EXPECT_EQ(**header.Integer("tokenizer.ggml.eot_token_id"), 317);
  EXPECT_EQ(**header.Integer("tokenizer.ggml.eom_token_id"), 318);
  EXPECT_THAT(**header.Integers("tokenizer.ggml.eos_token_ids"), ElementsAre(2, 316, 317, 318));
}

TEST_F(Generation, EveryFolderNamesEveryEnd) {
  const json::array ends{2, 315, 317};
  const std::string own = R"({"eos_token_id": [317, 2, 315], "do_sample": true})";
  const auto folder = Open({.generation_config = own});
  MakeGguf(*folder);
  const auto gguf = Reread();
  for (const ModelSource* source :
       std::initializer_list<const ModelSource*>{folder.get(), gguf.get()}) {
    SCOPED_TRACE(source->format());
    const auto onnx = PlanOnnx(*source, *FindRecipe("fp32")),
               openvino = PlanOpenVino(*source, *FindRecipe("fp16")),
               mlx = PlanMlx(*source, *FindRecipe("fp16"));
    for (const auto* layout : {&onnx, &openvino, &mlx}) {
      ASSERT_OK(*layout);
      if (source == folder.get()) {
        EXPECT_EQ(Text(**layout, "generation_config.json"), own);  // nothing is to be mended
      } else {
        EXPECT_EQ(Json(**layout, "generation_config.json").at("eos_token_id"), ends);
      }
    }
    EXPECT_EQ(Json(*onnx, "genai_config.json").at("model").at("eos_token_id"), ends);
    EXPECT_EQ(Json(*openvino, "config.json").at("eos_token_id"), ends);
    EXPECT_EQ(Json(*mlx, "config.json").at("eos_token_id"), ends);
  }
}

TEST_F(Generation, AListThatLacksTheTokenizersOwnEndIsMended) {
  const auto source = Open({.generation_config = R"({"eos_token_id": 317, "max_length": 4096})"});
  const auto mlx = PlanMlx(*source, *FindRecipe("fp16"));
  ASSERT_OK(mlx);
  EXPECT_EQ(Json(*mlx, "generation_config.json"),
            (json::object{{"eos_token_id", json::array{2, 317}}, {"max_length", 4096}}));
}

TEST_F(Generation, OneEndIsANumber) {
  const auto source = Open({.added = {"<|a|>"}});
  const auto openvino = PlanOpenVino(*source, *FindRecipe("fp16"));
  ASSERT_OK(openvino);
  EXPECT_EQ(Json(*openvino, "generation_config.json"),
            (json::object{{"bos_token_id", 1}, {"eos_token_id", 2}}));
  EXPECT_EQ(Json(*openvino, "config.json").at("eos_token_id"), 2);
}

TEST_F(Generation, SamplingTravelsToEveryFormat) {
  const auto folder =
      Open({.generation_config = R"({"do_sample": true, "temperature": 0.6, "top_k": 20,
      "top_p": 0.95, "repetition_penalty": 1.05, "eos_token_id": 2})"});
  const SamplingDefaults want{.samples = true,
                              .temperature = 0.6f,
                              .top_p = 0.95f,
                              .repetition_penalty = 1.05f,
                              .top_k = 20};
  EXPECT_EQ(folder->description().sampling, want);
  MakeGguf(*folder);
  const GgufFile header = Header();
  EXPECT_EQ(header.Find("general.sampling.top_k")->type,
            GgufType::kI32);  // as llama.cpp's converter writes it
  EXPECT_EQ(header.Find("general.sampling.temp")->type, GgufType::kF32);
  EXPECT_EQ(static_cast<float>(**header.Float("general.sampling.top_p")), 0.95f);
  EXPECT_EQ(static_cast<float>(**header.Float("general.sampling.penalty_repeat")), 1.05f);
  const auto gguf = Reread();
  EXPECT_EQ(gguf->description().sampling, want);
  const auto onnx = PlanOnnx(*gguf, *FindRecipe("fp32"));
  ASSERT_OK(onnx);
  const json::object search = Json(*onnx, "genai_config.json").at("search").as_object();
  EXPECT_EQ(search.at("do_sample"), true);
  EXPECT_EQ(search.at("temperature").as_double(), 0.6);
  EXPECT_EQ(search.at("top_k"), 20);
  EXPECT_EQ(search.at("top_p").as_double(), 0.95);
  EXPECT_EQ(search.at("repetition_penalty").as_double(), 1.05);
  const json::object generation = Json(*onnx, "generation_config.json");
  EXPECT_EQ(generation.at("do_sample"), true);
  EXPECT_EQ(generation.at("temperature").as_double(), 0.6);
  EXPECT_EQ(generation.at("top_k"), 20);
  EXPECT_FALSE(generation.contains("min_p"));
}

TEST_F(Generation, WithoutAWordNothingIsDrawn) {
  const auto onnx = PlanOnnx(*Open({}), *FindRecipe("fp32"));
  ASSERT_OK(onnx);
  const json::object search = Json(*onnx, "genai_config.json").at("search").as_object();
  EXPECT_EQ(search.at("do_sample"), false);
  EXPECT_EQ(search.at("top_k"), 1);
  EXPECT_EQ(search.at("temperature").as_double(), 1.0);
}

TEST_F(Generation, NoSamplingIsATemperatureOfZeroInAGguf) {
  const auto source = Open({.generation_config = R"({"do_sample": false, "temperature": 0.6})"});
  MakeGguf(*source);
  EXPECT_EQ(**Header().Float("general.sampling.temp"), 0.0);
  EXPECT_EQ(Reread()->description().sampling, SamplingDefaults{.samples = false});
}

}  // namespace
}  // namespace quantfleet::pipeline
