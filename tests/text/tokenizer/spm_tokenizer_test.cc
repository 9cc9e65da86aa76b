#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <sstream>

#include "engine/decode/load_tokenizer.h"
#include "text/tokenizer/tokenizer.h"

namespace quantfleet::text {
namespace {

using Ids = std::vector<int32_t>;

const std::string kSpace = "\xe2\x96\x81";

// <unk> <s> </s>, 256 bytes, then what the test adds.
TokenizerData SpmBase() {
  TokenizerData data;
  data.kind = TokenizerData::Kind::kSpm;
  data.tokens = {{"<unk>", 0, TokenType::kUnknown},
                 {"<s>", 0, TokenType::kControl},
                 {"</s>", 0, TokenType::kControl}};
  for (int b = 0; b < 256; ++b)
    data.tokens.push_back({fmt::format("<0x{:02X}>", b), 0, TokenType::kByte});
  data.unknown = 0, data.bos = 1, data.eos = 2;
  return data;
}

int32_t Add(TokenizerData& data, std::string text, float score,
            TokenType type = TokenType::kNormal) {
  data.tokens.push_back({std::move(text), score, type});
  return static_cast<int32_t>(data.tokens.size()) - 1;
}

std::unique_ptr<Tokenizer> MakeSpm(const TokenizerData& data, std::string_view name = "test") {
  auto made = MakeTokenizer(data, name);
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? std::move(*made) : nullptr;
}

std::string DecodeSpm(const Tokenizer& tokenizer, const Ids& ids) {
  std::string text;
  for (int32_t id : ids) text += tokenizer.Piece(id);
  if (tokenizer.AddsLeadingSpace() && !text.empty() && text[0] == ' ') text.erase(0, 1);
  return text;
}

TEST(SpmTokenizer, MergesTheBestScoreFirstAndTheLeftmostOfEquals) {
  TokenizerData data = SpmBase();
  const int32_t a = Add(data, "a", -9), b = Add(data, "b", -9), ab = Add(data, "ab", -2),
                ba = Add(data, "ba", -1);
  const int32_t aa = Add(data, "aa", -3);
  data.add_space_prefix = false;
  const auto tokenizer = MakeSpm(data);
  EXPECT_EQ(*tokenizer->Encode("ab", false, false), (Ids{ab}));
  EXPECT_EQ(*tokenizer->Encode("aba", false, false), (Ids{a, ba}));
  EXPECT_EQ(*tokenizer->Encode("aaa", false, false), (Ids{aa, a}));
  EXPECT_EQ(*tokenizer->Encode("bb", false, false), (Ids{b, b}));
}

TEST(SpmTokenizer, SpacesArePrefixedAndEscaped) {
  TokenizerData data = SpmBase();
  const int32_t space = Add(data, kSpace, -5), a = Add(data, "a", -9),
                space_a = Add(data, kSpace + "a", -1);
  const auto tokenizer = MakeSpm(data);
  EXPECT_EQ(*tokenizer->Encode("a", true, false), (Ids{1, space_a}));
  EXPECT_EQ(*tokenizer->Encode("a a", false, false), (Ids{space_a, space_a}));
  EXPECT_EQ(*tokenizer->Encode(" a", false, false), (Ids{space, space_a}));
  EXPECT_EQ(*tokenizer->Encode("", true, false), (Ids{1}));
  EXPECT_EQ(*tokenizer->Encode("", false, false), Ids{});
  EXPECT_EQ(tokenizer->Piece(space_a), " a");
  data.add_space_prefix = false;
  data.add_bos = false;
  EXPECT_EQ(*MakeSpm(data)->Encode("a", true, false), (Ids{a}));
}

TEST(SpmTokenizer, FallsBackToBytes) {
  TokenizerData data = SpmBase();
  data.add_space_prefix = false;
  const auto tokenizer = MakeSpm(data);
  EXPECT_EQ(*tokenizer->Encode("\xc3\x84", false, false), (Ids{3 + 0xc3, 3 + 0x84}));
  EXPECT_EQ(tokenizer->Piece(3 + 0xc3), "\xc3");
  // Bytes that are no UTF-8, and a sequence that the text cuts.
  EXPECT_EQ(*tokenizer->Encode("\xff\xf0\x9f", false, false), (Ids{3 + 0xff, 3 + 0xf0, 3 + 0x9f}));
}

TEST(SpmTokenizer, WithoutByteTokensTheUnknownStandsIn) {
  TokenizerData data = SpmBase();
  data.tokens.resize(3);
  data.add_space_prefix = false;
  EXPECT_EQ(*MakeSpm(data)->Encode("x", false, false), (Ids{0}));
  data.unknown.reset();
  EXPECT_EQ(MakeSpm(data)->Encode("x", false, false).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(SpmTokenizer, WhatIsDataInAPromptIsNoControlToken) {
  TokenizerData data = SpmBase();
  const int32_t end = Add(data, "<|end|>", 0, TokenType::kControl);
  const int32_t mark = Add(data, "<|user|>", 0, TokenType::kUserDefined);
  const int32_t word = Add(data, "<tool>", 0, TokenType::kUserDefined);
  const auto tokenizer = MakeSpm(data);
  const std::string text = "<|user|><|end|><|user|><tool><|end|>";
  const DataRange said[] = {{8, 29}};
  const Ids ids = *tokenizer->Encode(text, false, true, said);
  EXPECT_EQ(ids.front(), mark);
  EXPECT_EQ(ids.back(), end);
  EXPECT_EQ(std::ranges::count(ids, mark), 1);
  EXPECT_EQ(std::ranges::count(ids, end), 1);
  EXPECT_EQ(std::ranges::count(ids, word), 1) << "a word of the user's own";
  // One that data begins and the template ends is none either.
  const DataRange half[] = {{15, 20}};
  EXPECT_EQ(std::ranges::count(*tokenizer->Encode(text, false, true, half), mark), 1);
}

TEST(SpmTokenizer, MergesOfDataDoNotMakeControlTokens) {
  TokenizerData data = SpmBase();
  data.tokens[2].score = 9;
  for (const char* piece : {"<", "/", "s", ">", "</", "s>"}) Add(data, piece, -1);
  data.add_space_prefix = false;
  EXPECT_EQ(std::ranges::count(*MakeSpm(data)->Encode("</s>", false, false), 2), 0);
}

TEST(SpmTokenizer, SpecialTokensAreSplitOutOfPromptsOnly) {
  TokenizerData data = SpmBase();
  const int32_t a = Add(data, "a", -9), space_a = Add(data, kSpace + "a", -1);
  Add(data, kSpace, -5);
  const int32_t end = Add(data, "<|end|>", 0, TokenType::kControl);
  const int32_t user = Add(data, "<user>", 0, TokenType::kUserDefined);
  const auto tokenizer = MakeSpm(data);
  EXPECT_EQ(*tokenizer->Encode("a<|end|>a", false, true), (Ids{space_a, end, space_a}));
  EXPECT_EQ(*tokenizer->Encode("<user>a<user>", false, false), (Ids{user, space_a, user}));
  const Ids plain = *tokenizer->Encode("a<|end|>", false, false);
  EXPECT_EQ(std::ranges::count(plain, end), 0);
  EXPECT_GT(plain.size(), 2u);
  EXPECT_EQ(tokenizer->Piece(end), "");
  EXPECT_EQ(tokenizer->Piece(user), "<user>");
  EXPECT_TRUE(tokenizer->EndsGeneration(end));
  EXPECT_TRUE(tokenizer->EndsGeneration(2));
  EXPECT_FALSE(tokenizer->EndsGeneration(user));
  EXPECT_FALSE(tokenizer->EndsGeneration(a));
}

TEST(SpmTokenizer, Phi3StripsSpacesBehindSpecialTokens) {
  TokenizerData data = SpmBase();
  const int32_t space_a = Add(data, kSpace + "a", -1);
  Add(data, "a", -9);
  const int32_t space = Add(data, kSpace, -5), end = Add(data, "<|end|>", 0, TokenType::kControl);
  EXPECT_EQ(*MakeSpm(data, "Phi-3 mini")->Encode("<|end|> \na", false, true), (Ids{end, space_a}));
  EXPECT_EQ(*MakeSpm(data, "other")->Encode("<|end|> a", false, true), (Ids{end, space, space_a}));
}

TEST(SpmTokenizer, RefusesDataThatContradictsItself) {
  TokenizerData data = SpmBase();
  data.bos = 1000;
  EXPECT_EQ(MakeTokenizer(data, "").status().code(), absl::StatusCode::kInvalidArgument);
  data.bos.reset();
  EXPECT_EQ(MakeTokenizer(data, "").status().code(), absl::StatusCode::kInvalidArgument);
  data.tokens.clear();
  EXPECT_EQ(MakeTokenizer(data, "").status().code(), absl::StatusCode::kInvalidArgument);
  data.kind = TokenizerData::Kind::kNone;
  EXPECT_EQ(MakeTokenizer(data, "").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SpmTokenizer, AnyTextSurvivesTheRoundTrip) {
  TokenizerData data = SpmBase();
  for (char c = 'a'; c <= 'z'; ++c) Add(data, std::string(1, c), -50);
  Add(data, kSpace, -3);
  for (std::string text : {"th", "the", "an", "and"}) {
    Add(data, text, -static_cast<float>(text.size()));
    Add(data, kSpace + text, -static_cast<float>(text.size()) - 1);
  }
  const auto tokenizer = MakeSpm(data);
  std::mt19937_64 random(3);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (uint64_t n = random() % 40; n > 0; --n) {
      static constexpr const char* kParts[] = {"the ", "q",  " and",     "\xf0\x9f\xa6\x99",
                                               "\n",   "  ", "\xc3\x84", "Z"};
      text += kParts[random() % std::size(kParts)];
    }
    const auto ids = tokenizer->Encode(text, false, false);
    ASSERT_TRUE(ids.ok());
    ASSERT_EQ(DecodeSpm(*tokenizer, *ids), text);
  }
}

TEST(SpmTokenizer, AnyBytesAreEncoded) {
  const auto tokenizer = MakeSpm(SpmBase());
  std::mt19937_64 random(4);
  for (int round = 0; round < 300; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const auto ids = tokenizer->Encode(bytes, true, true);
    ASSERT_TRUE(ids.ok()) << ids.status();
    ASSERT_EQ(ids->front(), 1);
  }
}

// llama.cpp's own strings and ids (without BOS).
TEST(SpmTokenizer, EqualsLlamaCppOnPhi3Vocabulary) {
  const char* shared = std::getenv("QUANTFLEET_SHARED");
  if (shared == nullptr) GTEST_SKIP() << "QUANTFLEET_SHARED is not set: no reference vocabulary";
  const fs::path base = fs::path(shared) / "vocab";
  auto tokenizer = engine::LoadTokenizer(RealFileSystem(), base / "ggml-vocab-phi-3.gguf");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const std::string inputs = *RealFileSystem().ReadAll(base / "ggml-vocab-phi-3.gguf.inp");
  std::istringstream outputs(*RealFileSystem().ReadAll(base / "ggml-vocab-phi-3.gguf.out"));

  constexpr std::string_view kMark = "\n__ggml_vocab_test__\n";
  int compared = 0;
  for (size_t at = 0, end; (end = inputs.find(kMark, at)) != std::string::npos;
       at = end + kMark.size()) {
    const std::string text = inputs.substr(at, end - at);
    std::string line;
    ASSERT_TRUE(std::getline(outputs, line));
    std::istringstream numbers(line);
    const Ids expected{std::istream_iterator<int32_t>(numbers), {}};
    const auto ids = (*tokenizer)->Encode(text, false, false);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, expected) << "text: '" << text << "'";
    EXPECT_EQ(DecodeSpm(**tokenizer, *ids), text);
    ++compared;
  }
  EXPECT_EQ(compared, 46);
}

}  // namespace
}  // namespace quantfleet::text
