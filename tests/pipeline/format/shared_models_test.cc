// Real files that do not travel with the project: the folder QUANTFLEET_SHARED names holds them.
#include <gtest/gtest.h>

#include <cstdlib>

#include "pipeline/family/family.h"
#include "pipeline/format/gguf/read/gguf_source.h"
#include "pipeline/format/gguf/write/gguf_target.h"
#include "pipeline/format/registry/open_model.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

class SharedModels : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("QUANTFLEET_SHARED");
    if (folder == nullptr) GTEST_SKIP() << "QUANTFLEET_SHARED names no folder of reference files";
    shared_ = folder;
  }
  absl::StatusOr<text::TokenizerData> Vocabulary(const char* name) {
    QF_ASSIGN_OR_RETURN(const auto file,
                        RealFileSystem().Open(shared_ / "vocab" / name, OpenMode::kRead));
    QF_ASSIGN_OR_RETURN(const GgufFile gguf, GgufFile::Read(*file, name));
    EXPECT_TRUE(gguf.tensors().empty());
    return ReadTokenizer(gguf);
  }
  fs::path shared_;
};

TEST_F(SharedModels, Phi3Vocabulary) {
  const auto t = Vocabulary("ggml-vocab-phi-3.gguf");
  ASSERT_OK(t);
  EXPECT_EQ(t->kind, text::TokenizerData::Kind::kSpm);
  EXPECT_EQ(t->tokens.size(), 32064u);
  EXPECT_EQ(t->tokens[1].text, "<s>");
  EXPECT_EQ(t->tokens[3].type, text::TokenType::kByte);
  EXPECT_EQ(t->bos, 1);
  EXPECT_EQ(t->eos, 32000);
  EXPECT_TRUE(t->add_bos);
  EXPECT_NE(t->chat_template.find("<|assistant|>"), std::string::npos);
}

TEST_F(SharedModels, Llama3Vocabulary) {
  const auto t = Vocabulary("ggml-vocab-llama-bpe.gguf");
  ASSERT_OK(t);
  EXPECT_EQ(t->kind, text::TokenizerData::Kind::kByteBpe);
  EXPECT_EQ(t->pre, "llama-bpe");
  EXPECT_EQ(t->tokens.size(), 128256u);
  EXPECT_EQ(t->merges.size(), 280147u);
  EXPECT_EQ(t->bos, 128000);
  EXPECT_TRUE(t->add_bos);
}

TEST_F(SharedModels, Stories260k) {
  const auto source = OpenModel(RealFileSystem(), shared_ / "models" / "stories260k");
  ASSERT_OK(source);
  const ModelDescription& model = (*source)->description();
  EXPECT_EQ(model.family->name, "llama");
  EXPECT_EQ(model.name, "stories260k");
  EXPECT_EQ(model.published_name, "");
  EXPECT_TRUE(model.hyper.tied_embeddings);
  EXPECT_EQ(model.hyper.intermediate, 172);
  EXPECT_EQ(model.Parameters(), 260032);
  EXPECT_EQ(model.tokenizer.tokens.size(), 512u);
  EXPECT_EQ(model.tokenizer.bos, 1);
  ASSERT_EQ((*source)->attachments().size(), 1u);
  EXPECT_EQ((*source)->attachments()[0].name, "LICENSE");

  const auto layout = PlanGguf(model, (*source)->attachments(), *FindRecipe("q4_0"));
  ASSERT_OK(layout);
  for (const PlacedPiece& piece : layout->pieces) {
    if (piece.tensor.ends_with("ffn_down.weight")) {
      EXPECT_EQ(piece.dtype, DType::kF16) << "rows of 172";
    }
  }
}

}  // namespace
}  // namespace quantfleet::pipeline
