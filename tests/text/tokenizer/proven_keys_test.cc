// When GGUF's keys need no comparison with what a tokenizer.json describes.
#include "text/tokenizer/proven_keys.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "text/tokenizer/byte_letters.h"
#include "text/tokenizer/tokenizer_json.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

class ProvenKeys : public ::testing::Test {
 protected:
  ProvenKeys() {
    json::object vocab;
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      vocab[SpellBytes({&c, 1})] = byte;
    }
    vocab["ab"] = 256;
    file_ = {{"normalizer", nullptr},
             {"added_tokens", json::array{{{"id", 257}, {"content", "<s>"}, {"special", true}},
                                          {{"id", 258}, {"content", "<x>"}, {"special", false}}}},
             {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
             {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array{"a b"}}}}};
  }

  // With the keys that a GGUF would have of it.
  bool Proven() {
    const auto parsed = ParseTokenizerJson(json::serialize(file_), true);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    if (!parsed.ok()) return false;
    TokenizerData from = parsed->data;
    from.tokens.resize(260, {"", 0, TokenType::kUnused});
    from.bos = bos_;
    from.add_bos = false;
    TokenizerData data = from;
    data.description.reset();
    data.tokens[257] = {"<s>", 0, TokenType::kControl};
    data.tokens[258] = {"<x>", 0, TokenType::kUserDefined};
    data.tokens[259] = {"[PAD259]", 0, TokenType::kUnused};
    data.merges = merges_.empty() ? data.merges : merges_;
    const json::object stages = json::parse(from.description->stages).as_object();
    const NamedSplit* split = MatchNamedSplit(stages);
    return split != nullptr && AreProven(from, stages, *split, data);
  }
  json::object& Added(size_t i) { return file_.at("added_tokens").at(i).as_object(); }
  json::object& Model() { return file_.at("model").as_object(); }

  json::object file_;
  std::optional<int32_t> bos_;
  std::vector<std::string> merges_;
};

TEST_F(ProvenKeys, WhatIsWrittenAlikeIsProven) { EXPECT_TRUE(Proven()); }

TEST_F(ProvenKeys, FlagsOfAddedTokensAreNotInKeys) {
  for (const char* flag : {"lstrip", "rstrip", "single_word", "normalized"}) {
    Added(1)[flag] = true;
    EXPECT_FALSE(Proven()) << flag;
    Added(1).erase(flag);
  }
  EXPECT_TRUE(Proven());
}

TEST_F(ProvenKeys, AnAddedTokenThatMergesMakeIsNotProven) {
  Model().at("vocab").as_object()["<x>"] = 258;
  EXPECT_FALSE(Proven());
}

TEST_F(ProvenKeys, AByteThatIsNoTokenIsNotProven) {
  Model().at("vocab").as_object().erase("!");
  EXPECT_FALSE(Proven());
}

TEST_F(ProvenKeys, OtherMergesAreNotProven) {
  merges_ = {"b a"};
  EXPECT_FALSE(Proven());
  merges_ = {"a b", "a b"};
  EXPECT_FALSE(Proven());
}

TEST_F(ProvenKeys, OptionsOfTheModelAreNotInKeys) {
  Model()["ignore_merges"] = true;
  EXPECT_FALSE(Proven());
  Model()["ignore_merges"] = false;
  EXPECT_TRUE(Proven());
  Model()["end_of_word_suffix"] = "</w>";
  EXPECT_FALSE(Proven());
}

TEST_F(ProvenKeys, ATemplateThatAddsWhatTheKeysDoNotIsNotProven) {
  file_["post_processor"] =
      json::parse(R"({"type": "BertProcessing", "cls": ["<s>", 257], "sep": ["a", 0]})");
  EXPECT_FALSE(Proven());
  // What other files say about BOS decides.
  bos_ = 257;
  EXPECT_TRUE(Proven());
}

// One of the names that mean these expressions means NFC too, none another normalizer.
TEST_F(ProvenKeys, ANormalizerThatNoNameMeansIsNotProven) {
  file_["normalizer"] = {{"type", "NFC"}};
  EXPECT_TRUE(Proven());
  file_["normalizer"] = {{"type", "NFKC"}};
  EXPECT_FALSE(Proven());
}

}  // namespace
}  // namespace quantfleet::text
