// Stages of a tokenizer.json, where a fault would be silent.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>

#include "text/tokenizer/decoder.h"
#include "text/tokenizer/expression_syntax.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/pre_tokenizer.h"
#include "text/tokenizer/regular_expression.h"
#include "text/tokenizer/script_expression.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/tokenizer_json.h"

namespace quantfleet::text {
namespace {

using Ids = std::vector<int32_t>;

std::string Matches(std::string_view regex, std::string_view text) {
  const auto expression = RegularExpression::Create(regex);
  if (!expression.ok()) return expression.status().ToString();
  std::string out;
  MatchSteps steps(text.size());
  const absl::Status matched = expression->ForEachMatch(text, steps, [&](size_t begin, size_t end) {
    out += std::string(text.substr(begin, end - begin)) + "|";
  });
  return matched.ok() ? out : matched.ToString();
}

TEST(RegularExpression, ReadsWhatOnigurumaReads) {
  EXPECT_EQ(Matches(R"([a-z&&[^aeiou]]+)", "hello"), "h|ll|");
  EXPECT_EQ(Matches(R"(\p{N}{1,3}+)", "12345"), "12345|");  // repeats; possessive for PCRE2
  EXPECT_EQ(Matches(R"(\s)",
                    "a\xe1\xa0\x8e"
                    "b"),
            "");  // U+180E is no space any more
  EXPECT_EQ(Matches(R"(\w+)",
                    "a\xcc\x81"
                    "b"),
            "a\xcc\x81"
            "b|");
  EXPECT_EQ(Matches(R"(\p{Han}+)", "\xe3\x80\x85\xe3\x80\x82"), "\xe3\x80\x85|");
  EXPECT_EQ(Matches(R"([^(\s|.,)]+)", "a (b|c)"), "a|b|c|");
  EXPECT_EQ(Matches(R"((?i:'S|'t))", "'s'T"), "'s|'T|");
  EXPECT_EQ(Matches(R"(^b$)", "a\nb\nc"), "b|");  // lines, always
  EXPECT_EQ(Matches(R"((?m:a.b))", "a\nb"), "a\nb|");
  EXPECT_EQ(Matches(R"([[:punct:]]+)", "a+-b"), "+-|");
}

// Each match looks at all the digits that are left.
TEST(RegularExpression, QuadraticExpressionsEndInAnError) {
  const std::string digits(1 << 16, '1');
  EXPECT_EQ(Matches(R"(\d{1,3}(?=(?:\d{3})*\b))", digits.substr(0, 10'000)).find("INVALID"),
            std::string::npos);
  EXPECT_NE(Matches(R"(\d{1,3}(?=(?:\d{3})*\b))", digits).find("INVALID_ARGUMENT"),
            std::string::npos);
}

TEST(RegularExpression, WhatCannotBeReadIsSaid) {
  for (const char* regex : {"(", ")", "[a", "\\", "\\p{", "\\p{Klingon}", "(?~x)", "[[:x:]]"})
    EXPECT_FALSE(RegularExpression::Create(regex).ok()) << regex;
}

std::unique_ptr<Tokenizer> Make(std::string_view json) {
  auto parsed = ParseTokenizerJson(json, true);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  if (!parsed.ok()) return nullptr;
  for (const AddedToken& token : parsed->added)
    parsed->data.tokens.resize(
        std::max(parsed->data.tokens.size(), static_cast<size_t>(token.id) + 1),
        {"", 0, TokenType::kUnused});
  auto made = MakeTokenizer(parsed->data, "");
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? std::move(*made) : nullptr;
}

// What a user says must not end a turn, however the normalizer writes it.
TEST(Tokenizer, DataBecomesNoControlTokenThroughTheNormalizer) {
  const auto tokenizer = Make(R"({"added_tokens": [
      {"id": 4, "content": "<End>", "special": true, "normalized": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Strip"}, {"type": "Lowercase"}]},
    "model": {"type": "BPE", "vocab": {"<": 0, "e": 1, "x": 2, ">": 3}, "merges": []}})");
  ASSERT_NE(tokenizer, nullptr);
  const std::string text = "   x<END>x<end>x   ";
  EXPECT_EQ(*tokenizer->Encode(text, false, true), (Ids{2, 4, 2, 4, 2}));
  const DataRange said[] = {{0, 10}};
  EXPECT_EQ(*tokenizer->Encode(text, false, true, said), (Ids{2, 0, 1, 3, 2, 4, 2}));
  EXPECT_EQ(*tokenizer->Encode(text, false, false), (Ids{2, 0, 1, 3, 2, 0, 1, 3, 2}));
}

TEST(Tokenizer, AddedTokensSwallowSpaceAndStandAlone) {
  const auto tokenizer = Make(R"({"added_tokens": [
      {"id": 2, "content": "<l>", "lstrip": true}, {"id": 3, "content": "<r>", "rstrip": true},
      {"id": 4, "content": "word", "single_word": true}],
    "model": {"type": "BPE", "vocab": {"a": 0, " ": 1, "w": 5, "o": 6, "r": 7, "d": 8}, "merges": []}})");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(*tokenizer->Encode("a  <l> a", false, true), (Ids{0, 2, 1, 0}));
  EXPECT_EQ(*tokenizer->Encode("a <r>  a", false, true), (Ids{0, 1, 3, 0}));
  EXPECT_EQ(*tokenizer->Encode("a word", false, true), (Ids{0, 1, 4}));
  EXPECT_EQ(*tokenizer->Encode("aword", false, true), (Ids{0, 5, 6, 7, 8}));
}

TEST(Tokenizer, UnigramTakesTheBestSumAndFusesWhatIsUnknown) {
  const auto tokenizer = Make(R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [
      ["<unk>", 0], ["a", -2], ["b", -2], ["ab", -5], ["abb", -5.5]]}})");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(*tokenizer->Encode("ab", false, true), (Ids{1, 2}));
  EXPECT_EQ(*tokenizer->Encode("abb", false, true), (Ids{4}));
  EXPECT_EQ(*tokenizer->Encode("xyab", false, true), (Ids{0, 1, 2}));
}

TEST(Tokenizer, WordPieceTakesTheLongestOrNothing) {
  const auto tokenizer = Make(R"({"pre_tokenizer": {"type": "BertPreTokenizer"},
    "decoder": {"type": "WordPiece"},
    "model": {"type": "WordPiece", "unk_token": "[UNK]",
              "vocab": {"[UNK]": 0, "un": 1, "##able": 2, "##a": 3, "able": 4}}})");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(*tokenizer->Encode("unable able unx", false, true), (Ids{1, 2, 4, 0}));
  EXPECT_EQ(tokenizer->Decode(Ids{1, 2, 4}), "unable able");
}

TEST(Tokenizer, WordLevelKnowsWholePieces) {
  const auto tokenizer = Make(R"({"pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "un": 1, "able": 2}}})");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(*tokenizer->Encode("un able unable", false, true), (Ids{1, 2, 0}));
}

TEST(RegularExpression, ScriptsEndRuns) {
  // Spaces belong to what is before them; those in front of a text to nothing.
  EXPECT_EQ(Matches(ScriptExpression(), "  ab \xd0\xb6 12,\xe3\x83\xbc\xe3\x81\x82\xe6\xbc\xa2"),
            "ab |\xd0\xb6 |12,|\xe3\x83\xbc\xe3\x81\x82\xe6\xbc\xa2|");
}

// `count` times the stage, in a Sequence.
std::string Repeated(std::string_view list, const std::string& stage, int count) {
  std::string steps;
  for (int i = 0; i < count; ++i) steps += (i == 0 ? "" : ",") + stage;
  return R"({"type": "Sequence", ")" + std::string(list) + R"(": [)" + steps + "]}";
}

// A page for each space, again and again; bytes spelled with letters, whose bytes are spelled.
TEST(Tokenizer, ANormalizerThatMultipliesATextIsBounded) {
  const std::string page(4000, ' ');
  for (const std::string& stage :
       {R"({"type": "Replace", "pattern": {"String": " "}, "content": ")" + page + R"("})",
        std::string(R"({"type": "ByteLevel"})")}) {
    const auto value = boost::json::parse(Repeated("normalizers", stage, 60));
    const auto normalizer = Normalizer::Create(&value);
    ASSERT_TRUE(normalizer.ok());
    std::string text = "a \xc3\xa9";
    EXPECT_EQ(normalizer->Apply(text).code(), absl::StatusCode::kInvalidArgument);
  }
}

// Each ByteLevel but the last makes two bytes of one.
TEST(Tokenizer, APreTokenizerThatMultipliesATextIsBounded) {
  const auto value = boost::json::parse(
      Repeated("pretokenizers", R"({"type": "ByteLevel", "use_regex": false})", 60));
  const auto pre = PreTokenizer::Create(&value);
  ASSERT_TRUE(pre.ok());
  Pieces pieces;
  pieces.text = "\xc3\xa9";
  pieces.pieces = {{0, 2}};
  EXPECT_EQ(pre->Apply(pieces).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Tokenizer, ADecoderThatMultipliesATokenIsBounded) {
  const std::string page(4000, 'a');
  const auto value = boost::json::parse(Repeated(
      "decoders",
      R"({"type": "Replace", "pattern": {"String": "a"}, "content": ")" + page + R"("})", 60));
  const auto decoder = Decoder::Create(&value);
  ASSERT_TRUE(decoder.ok());
  EXPECT_LT(decoder->Piece("a").size(), 100'000u);
  EXPECT_LT(decoder->Decode(std::vector<std::string>(1000, "a")).size(), 10'000'000u);
}

}  // namespace
}  // namespace quantfleet::text
