#include "cli/model_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "pipeline/format/registry/open_model.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::cli {
namespace {

using ::testing::HasSubstr;

TEST(ModelText, DescribesAModel) {
  const testing::TempDir dir;
  testing::WriteTinyModel(dir.path(), "qwen2");
  const auto source = pipeline::OpenModel(RealFileSystem(), dir.path());
  ASSERT_OK(source);
  const boost::json::object model = DescribeModel(**source);
  EXPECT_EQ(model.at("kind"), "model");
  EXPECT_EQ(model.at("format"), "safetensors");
  EXPECT_EQ(model.at("architecture"), "qwen2");
  EXPECT_EQ(model.at("hyperparameters").at("hidden"), 64);
  EXPECT_EQ(model.at("hyperparameters").at("kv_heads"), 2);
  EXPECT_EQ(model.at("tokenizer").at("tokens"), 320);
  EXPECT_EQ(model.at("tensors").as_array().size(), (*source)->description().tensors.size());
  uint64_t bytes = 0;
  for (const auto& tensor : model.at("tensors").as_array()) {
    EXPECT_EQ(tensor.at("dtype"), "bf16");
    bytes += tensor.at("bytes").to_number<uint64_t>();
  }
  EXPECT_EQ(model.at("weight_bytes").to_number<uint64_t>(), bytes);
  const std::string text = Readable(model);
  EXPECT_THAT(text, HasSubstr("architecture: qwen2\n"));
  EXPECT_THAT(text, HasSubstr("  kv_heads: 2\n"));
  EXPECT_THAT(text, HasSubstr("320 x 64"));
}

// An unknown template was told to nobody before the first chat.
TEST(ModelText, TellsWhatComesOfChats) {
  text::TokenizerData tokenizer;
  tokenizer.tokens = {{"<s>"}, {"</s>"}};
  tokenizer.bos = 0, tokenizer.eos = 1;
  EXPECT_EQ(ChatJson(tokenizer).at("template"), "absent");
  EXPECT_THAT(std::string(ChatJson(tokenizer).at("warning").as_string()),
              HasSubstr("chat template"));
  tokenizer.chat_template =
      "{% for m in messages %}{{ bos_token + m.content + eos_token }}{% endfor %}";
  EXPECT_EQ(
      ChatJson(tokenizer),
      (boost::json::object{{"template", "known"}, {"drops_system", false}, {"tools", false}}));
  // A vocabulary without the token that it asks for.
  tokenizer.eos = 7;
  EXPECT_EQ(ChatJson(tokenizer).at("template"), "unknown");
  tokenizer.eos = 1;
  tokenizer.chat_template = "{{ messages | tojson }}";
  EXPECT_EQ(ChatJson(tokenizer).at("template"), "known");
  tokenizer.chat_template = "{{ messages |\n nonsense }}";
  const boost::json::object chat = ChatJson(tokenizer);
  EXPECT_EQ(chat.at("template"), "unknown");
  for (const char* const member : {"why", "warning"}) {
    const std::string said(chat.at(member).as_string());
    EXPECT_THAT(said, HasSubstr("nonsense"));
    EXPECT_THAT(said, HasSubstr("line 2")) << "where it stands";
  }
}

TEST(ModelText, TellsEveryEndAndHowToSample) {
  const testing::TempDir dir;
  testing::WriteTinyModel(
      dir.path(), "llama",
      {.generation_config = R"({"eos_token_id": [319, 2], "do_sample": true, "temperature": 0.6})",
       .added = {"<|end|>"}});
  const auto source = pipeline::OpenModel(RealFileSystem(), dir.path());
  ASSERT_OK(source);
  const boost::json::object model = DescribeModel(**source);
  EXPECT_EQ(
      model.at("tokenizer").at("ends"),
      (boost::json::array{{{"id", 2}, {"text", "</s>"}}, {{"id", 319}, {"text", "<|end|>"}}}));
  EXPECT_EQ(model.at("sampling"), (boost::json::object{{"do_sample", true}, {"temperature", 0.6}}));
  EXPECT_THAT(Readable(model), HasSubstr("temperature: 0.6\n"));
}

TEST(ModelText, DescribesAManifest) {
  v1::Manifest manifest;
  manifest.set_format_version(1);
  manifest.mutable_target()->set_format("gguf");
  manifest.mutable_target()->set_recipe("q4_0");
  v1::ArtifactFile& file = *manifest.add_files();
  file.set_path("model.gguf");
  file.set_size(7);
  const boost::json::object artifact = DescribeManifest(manifest);
  EXPECT_EQ(artifact.at("manifest_digest").as_string(), pipeline::ManifestDigest(manifest).hex());
  EXPECT_EQ(artifact.at("recipe"), "q4_0");
  EXPECT_EQ(artifact.at("bytes").to_number<uint64_t>(), 7u);
  EXPECT_EQ(artifact.at("files").as_array().size(), 1u);
}

TEST(ModelText, ReadableNestsAndAligns) {
  const boost::json::object object = {
      {"a", 1},
      {"b", {{"c", "x"}, {"d", 1e-5}}},
      {"t", {{{"name", "long name"}, {"n", 1}}, {{"name", "s"}, {"n", 22}}}}};
  EXPECT_EQ(Readable(object),
            "a: 1\nb:\n  c: x\n  d: 1e-05\nt:\n  name       n\n  long name  1\n  s          22\n");
}

}  // namespace
}  // namespace quantfleet::cli
