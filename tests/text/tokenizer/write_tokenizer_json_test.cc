// A tokenizer's data as a tokenizer.json, for runtimes that read no GGUF.
#include "text/tokenizer/write_tokenizer_json.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>

#include "tests/support/status_matchers.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/tokenizer_json.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;
using Ids = std::vector<int32_t>;

TokenizerData Read(std::string_view text, size_t vocabulary) {
  auto parsed = ParseTokenizerJson(text, true);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  if (!parsed.ok()) return {};
  TokenizerData out = std::move(parsed->data);
  for (size_t id = out.tokens.size(); id < vocabulary; ++id)
    out.tokens.push_back({"[PAD" + std::to_string(id) + "]", 0, TokenType::kUnused});
  out.add_bos = false;
  return out;
}

Ids Encode(const TokenizerData& data, std::string_view text) {
  const auto made = MakeTokenizer(data, "");
  EXPECT_TRUE(made.ok()) << made.status();
  const auto ids = made.ok() ? (*made)->EncodeWhole(text) : made.status();
  return ids.ok() ? *ids : Ids{};
}

json::object Written(const TokenizerData& data) {
  const auto written = WriteTokenizerJson(data);
  EXPECT_TRUE(written.ok()) << written.status();
  return written.ok() ? json::parse(*written).as_object() : json::object();
}

// The ids of a text, of what is written and read again.
Ids Again(const TokenizerData& data, std::string_view text) {
  return Encode(Read(json::serialize(Written(data)), data.tokens.size()), text);
}

TEST(WriteTokenizerJson, StagesTablesAndAddedTokensAreAllThere) {
  const TokenizerData data = Read(R"({"normalizer": {"type": "Lowercase"},
    "added_tokens": [{"id": 5, "content": "<l>", "lstrip": true, "special": true}],
    "post_processor": {"type": "BertProcessing", "cls": ["b", 1], "sep": ["a", 0]},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, " ": 3, " a": 4},
              "merges": [["a", "b"], [" ", "a"]]}})",
                                  8);
  EXPECT_EQ(Encode(data, "AB A <l>b"), (Ids{1, 2, 4, 5, 1, 0}));
  EXPECT_EQ(Again(data, "AB A <l>b"), (Ids{1, 2, 4, 5, 1, 0}));
  const json::object written = Written(data);
  EXPECT_EQ(written.at("model").at("merges"), json::parse(R"([["a", "b"], [" ", "a"]])"));
  EXPECT_EQ(written.at("model").at("vocab").as_object().size(), 5u);
  EXPECT_EQ(written.at("added_tokens").at(0).at("lstrip"), true);
}

TEST(WriteTokenizerJson, AUnigramModelIsAListInTheOrderOfIds) {
  TokenizerData data = Read(R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [
      ["<unk>", 0], ["a", -2], ["b", -2], ["ab", -3.5]]}})",
                            6);
  EXPECT_EQ(Again(data, "abxa"), (Ids{3, 0, 1}));
  EXPECT_EQ(Written(data).at("model").at("vocab").as_array().size(), 4u);
  data.tokens[2].type = TokenType::kUnused;
  EXPECT_ERROR(WriteTokenizerJson(data), kFailedPrecondition, "no token 2");
}

// `tokenizers` numbers what the vocabulary lacks by itself, from its end on.
TEST(WriteTokenizerJson, AddedTokensKeepIdsThatDoNotFollowTheVocabulary) {
  const char* file = R"({"added_tokens": [{"id": 9, "content": "<x>"}],
    "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})";
  EXPECT_EQ(Written(Read(file, 12)).at("model").at("vocab"), json::parse(R"({"a": 0, "<x>": 9})"));
  EXPECT_EQ(Again(Read(file, 12), "a<x>"), (Ids{0, 9}));
}

TEST(WriteTokenizerJson, WhatOtherFilesSayOfTheBeginningIsInTheTemplate) {
  TokenizerData data = Read(R"({"model": {"type": "WordPiece", "unk_token": "u",
    "continuing_subword_prefix": "##", "max_input_chars_per_word": 9, "vocab": {"u": 0, "a": 1}}})",
                            2);
  data.bos = 0;
  data.add_bos = true;
  EXPECT_EQ(Encode(data, "a"), (Ids{0, 1}));
  EXPECT_EQ(Again(data, "a"), (Ids{0, 1}));
}

// Space by space, a run becomes the longest token that it has room for, then the next begins.
TEST(WriteTokenizerJson, RunsOfOneScoreGrowFromTheLeft) {
  TokenizerData data = Read(R"({"added_tokens": [{"id": 2, "content": "--"},
      {"id": 3, "content": "---"}, {"id": 4, "content": "----"}],
    "model": {"type": "BPE", "byte_fallback": true, "fuse_unk": true,
              "vocab": {"<unk>": 0, "-": 1, "--": 2, "---": 3, "----": 4}, "merges": []}})",
                            5);
  for (AddedToken& token : data.description->added) token.normalized = false;
  json::object model = Written(data).at("model").as_object();
  EXPECT_EQ(model.at("merges").at(0), json::parse(R"(["-", "---"])"));
  EXPECT_EQ(model.at("merges").as_array().back(), json::parse(R"(["-", "-"])"));
}

TEST(WriteTokenizerJson, TokensThatAreNoUtf8AreRefused) {
  TokenizerData data = Read(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})", 1);
  data.tokens[0].text = "\xff";
  EXPECT_ERROR(WriteTokenizerJson(data), kFailedPrecondition, "UTF-8");
}

}  // namespace
}  // namespace quantfleet::text
