// What is written and what is left out; that ids are right is judged in
// tests/e2e/test_openvino_tokenizers.py.
#include "pipeline/format/openvino/openvino_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "pipeline/format/openvino/ir_file.h"
#include "pipeline/format/openvino/openvino_bpe.h"
#include "pipeline/format/openvino/openvino_target.h"
#include "pipeline/format/openvino/token_expression.h"
#include "tests/pipeline/format/demo_layout.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(OpenVinoTokenizer, AFolderHasItsGraphs) {
  const auto layout = PlanOpenVino(*OpenDemo(), *FindRecipe("fp16"));
  ASSERT_OK(layout);
  EXPECT_THAT(layout->notes, IsEmpty());
  for (const char* name : {"openvino_tokenizer", "openvino_detokenizer"}) {
    SCOPED_TRACE(name);
    const OutputFile& xml = FileOf(*layout, std::string(name) + ".xml");
    const OutputFile& bin = FileOf(*layout, std::string(name) + ".bin");
    ASSERT_EQ(xml.fixed.size(), 1u);  // known before any weight is read
    ASSERT_EQ(bin.fixed.size(), 1u);
    const auto constants = ReadIrConstants(xml.fixed[0].bytes, xml.path, bin.size);
    ASSERT_OK(constants);
    for (const IrConstant& constant : *constants) EXPECT_GT(constant.size, 0u) << constant.name;
    EXPECT_NE(xml.fixed[0].bytes.find("openvino_tokenizers_version"), std::string::npos);
  }
}

class Files : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<Attachment>> Make(const json::object& tokenizer) const {
    return OpenVinoTokenizerFiles(source_->description(),
                                  {{"tokenizer.json", json::serialize(tokenizer)}});
  }

  // Bytes as letters, and one merge.
  static json::object Tokenizer() {
    return json::parse(R"({"added_tokens": [{"id": 3, "content": "<s>", "special": true}],
      "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
      "decoder": {"type": "ByteLevel"},
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})")
        .as_object();
  }

  const std::unique_ptr<ModelSource> source_ = OpenDemo();
};

TEST_F(Files, OfATokenizer) {
  const auto made = Make(Tokenizer());
  ASSERT_OK(made);
  EXPECT_EQ(made->size(), 4u);
}

TEST_F(Files, WhatHasNoCounterpartIsLeftOut) {
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"normalizer", R"({"type": "ByteLevel"})"},
           {"normalizer", R"({"type": "Replace", "pattern": {"String": "a"}, "content": "12345"})"},
           {"pre_tokenizer", R"({"type": "UnicodeScripts"})"},
           {"pre_tokenizer", R"({"type": "Split", "pattern": {"String": "a"},
                                 "behavior": "MergedWithNext", "invert": true})"},
           {"decoder", R"({"type": "WordPiece"})"},
           {"model", R"({"type": "Unigram", "vocab": [["a", -1.5], ["<s>", 0]], "unk_id": 0})"},
           {"model", R"({"type": "BPE", "vocab": {"a": 0}, "merges": []})"},
           {"model", R"({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"],
                         "end_of_word_suffix": "</w>"})"},
           {"added_tokens", R"([{"id": 3, "content": "x", "single_word": true}])"}}) {
    SCOPED_TRACE(value);
    json::object tokenizer = Tokenizer();
    tokenizer[key] = json::parse(value);
    EXPECT_EQ(Make(tokenizer).status().code(), StatusCode::kUnimplemented);
  }
}

TEST_F(Files, HostileOnesAreErrors) {
  const std::string many(20'000, '(');
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, std::string>>{
           {"pre_tokenizer", R"({"type": "Split", "behavior": "Isolated", "pattern": {"Regex": ")" +
                                 many + R"("}})"},
           {"pre_tokenizer", R"({"type": "Split", "behavior": "Isolated", "pattern": {}})"},
           {"added_tokens", R"([{"id": 4000000000, "content": "x"}])"},
           {"added_tokens", R"([{"id": -1, "content": "x"}])"},
           {"model", R"({"type": "BPE", "vocab": {}, "merges": []})"},
           {"model", R"({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a c", "x y z"]})"},
           {"decoder", R"({"type": "Strip", "content": "ab"})"}}) {
    SCOPED_TRACE(value.substr(0, 100));
    json::object tokenizer = Tokenizer();
    tokenizer[key] = json::parse(value);
    EXPECT_FALSE(Make(tokenizer).ok());
  }
  EXPECT_EQ(OpenVinoTokenizerFiles(source_->description(), {}).status().code(),
            StatusCode::kUnimplemented);
  EXPECT_EQ(
      OpenVinoTokenizerFiles(source_->description(), {{"tokenizer.json", "[]"}}).status().code(),
      StatusCode::kInvalidArgument);
}

BpeTables TablesOf(const json::object& model, std::vector<std::string> merges,
                   const std::vector<std::string>& tokens, bool byte_level) {
  text::TokenizerData data;
  for (const std::string& token : tokens) data.tokens.push_back({token});
  data.merges = std::move(merges);
  data.description.emplace();
  auto made = MakeBpeTables(data, model, byte_level, {});
  EXPECT_OK(made);
  return made.ok() ? *std::move(made) : BpeTables();
}

TEST(BpeTables, WhatMergesDoNotLeadToIsNotThere) {
  // The operation would begin with "cd"; "abe" and the merges of "cd" never happen.
  const BpeTables tables =
      TablesOf({}, {"a b", "cd a", "ab e"}, {"a", "b", "ab", "cd", "cda", "abe"}, true);
  EXPECT_THAT(tables.vocabulary, ElementsAre("a", "b", "ab", "", "", ""));
  EXPECT_THAT(tables.left, ElementsAre("a"));
  EXPECT_THAT(tables.right, ElementsAre("b"));
}

TEST(BpeTables, BytesAreThemselves) {
  std::vector<std::string> tokens{"a", "\xC3\xA4", "a\xC3\xA4"};
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(fmt::format("<0x{:02X}>", byte));
  const BpeTables tables = TablesOf({{"byte_fallback", true}}, {"a \xC3\xA4"}, tokens, false);
  EXPECT_EQ(tables.vocabulary[3 + 0xC3], "\xC3");
  EXPECT_EQ(tables.vocabulary[3 + 'a'], "");  // for which there is a character
  EXPECT_EQ(tables.vocabulary[3 + 'b'], "b");
}

TEST(BpeTables, PiecesThatStayWholeAreRewritten) {
  // "abc" is "ab" and "c" by its merges.
  const BpeTables tables = TablesOf({{"ignore_merges", true}}, {"a b", "b c", "a bc"},
                                    {"a", "b", "c", "ab", "bc", "abc"}, true);
  ASSERT_EQ(tables.token_ids.size(), 1u);
  EXPECT_EQ(tables.token_ids[0], 5);
  EXPECT_EQ(tables.rewrites.at(std::string(kPieceBegin) + "abc" + std::string(kPieceEnd)),
            tables.tokens[0]);
}

text::AddedToken Token(std::string text, bool rstrip = false) {
  return {.text = std::move(text), .rstrip = rstrip};
}

TEST(TokenExpression, TheLongestTokenCounts) {
  EXPECT_EQ(*TokenExpression({Token("a"), Token("ab"), Token("b.")}), R"(((?:a(?:b)?|b\.)))");
  EXPECT_EQ(*TokenExpression({}), "(?!)");
  const std::string mixed = *TokenExpression({Token("a"), Token("ab", true)});
  EXPECT_TRUE(mixed.starts_with("(ab)")) << mixed;
  EXPECT_TRUE(mixed.ends_with("|(a)")) << mixed;
}

TEST(TokenExpression, ThousandsOfTokensAreASmallOne) {
  std::vector<text::AddedToken> tokens;
  for (int i = 0; i < 6242; ++i) tokens.push_back(Token(fmt::format("<unused{}>", i)));
  EXPECT_LT(TokenExpression(tokens)->size(), 300u);
}

}  // namespace
}  // namespace quantfleet::pipeline
