#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <sstream>

#include "engine/decode/load_tokenizer.h"
#include "text/tokenizer/named_splits.h"
#include "text/tokenizer/pre_tokenizer.h"
#include "text/tokenizer/tokenizer.h"

namespace quantfleet::text {
namespace {

using Ids = std::vector<int32_t>;

// How a vocabulary writes a byte; independent of the code under test.
std::string Letter(int byte) {
  int code = byte, others = 0;
  const auto plain = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xff && b != 0xad);
  };
  if (!plain(byte)) {
    for (int b = 0; b < byte; ++b) others += !plain(b);
    code = 256 + others;
  }
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

std::string Spell(std::string_view bytes) {
  std::string out;
  for (char c : bytes) out += Letter(static_cast<uint8_t>(c));
  return out;
}

// Token b is the byte b.
TokenizerData Base(std::string pre = "gpt-2") {
  TokenizerData data;
  data.kind = TokenizerData::Kind::kByteBpe;
  data.pre = std::move(pre);
  data.add_bos = false;
  for (int b = 0; b < 256; ++b) data.tokens.push_back({Letter(b), 0, TokenType::kNormal});
  return data;
}

int32_t Add(TokenizerData& data, std::string text, TokenType type) {
  data.tokens.push_back({std::move(text), 0, type});
  return static_cast<int32_t>(data.tokens.size()) - 1;
}

int32_t AddMerge(TokenizerData& data, std::string_view left, std::string_view right) {
  data.merges.push_back(Spell(left) + " " + Spell(right));
  return Add(data, Spell(std::string(left) + std::string(right)), TokenType::kNormal);
}

std::unique_ptr<Tokenizer> Make(const TokenizerData& data, std::string_view name = "test") {
  auto made = MakeTokenizer(data, name);
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? std::move(*made) : nullptr;
}

std::string Decode(const Tokenizer& tokenizer, const Ids& ids) {
  std::string text;
  for (int32_t id : ids) text += tokenizer.Piece(id);
  return text;
}

TEST(BpeTokenizer, MergesTheFirstOfTheListAndTheLeftmostOfEquals) {
  TokenizerData data = Base();
  const int32_t bc = AddMerge(data, "b", "c"), ab = AddMerge(data, "a", "b"),
                aa = AddMerge(data, "a", "a"), aaa = AddMerge(data, "aa", "a"),
                space_a = AddMerge(data, " ", "a");
  const auto tokenizer = Make(data);
  EXPECT_EQ(*tokenizer->Encode("abc", false, false), (Ids{'a', bc}));
  EXPECT_EQ(*tokenizer->Encode("abb", false, false), (Ids{ab, 'b'}));
  EXPECT_EQ(*tokenizer->Encode("aaa", false, false), (Ids{aaa}));
  EXPECT_EQ(*tokenizer->Encode("aaaa", false, false), (Ids{aa, aa}));
  EXPECT_EQ(*tokenizer->Encode("a a", false, false), (Ids{'a', space_a}));
  EXPECT_EQ(*tokenizer->Encode("", false, false), Ids{});
  EXPECT_EQ(tokenizer->Piece(space_a), " a");
  EXPECT_EQ(tokenizer->Piece(0xc3), "\xc3");
  EXPECT_EQ(tokenizer->Piece(-1), "");
  EXPECT_EQ(tokenizer->Piece(100000), "");
}

TEST(BpeTokenizer, WordsThatAreTokensStayWholeWhereMergesAreIgnored) {
  for (const auto& [pre, whole] : {std::pair("llama-bpe", true), {"dbrx", false}}) {
    TokenizerData data = Base(pre);
    const int32_t ab = AddMerge(data, "a", "b");
    const int32_t zebra = Add(data, Spell(" zebra"), TokenType::kNormal);
    const auto tokenizer = Make(data);
    const Ids bytes = {' ', 'z', 'e', 'b', 'r', 'a'};
    EXPECT_EQ(*tokenizer->Encode(" zebra", false, false), whole ? Ids{zebra} : bytes);
    EXPECT_EQ(*tokenizer->Encode("ab", false, false), Ids{ab});
  }
}

TEST(BpeTokenizer, MergesOnTheWayNeedNotBeTokens) {
  TokenizerData data = Base();
  data.merges = {"a b", "ab c"};
  const int32_t abc = Add(data, "abc", TokenType::kNormal);
  const auto tokenizer = Make(data);
  EXPECT_EQ(*tokenizer->Encode("abc", false, false), Ids{abc});
  EXPECT_EQ(*tokenizer->Encode("abd", false, false), (Ids{'a', 'b', 'd'}));
}

TEST(BpeTokenizer, WordsAreThoseOfThePreTokenizer) {
  const std::string text = "It's  12345 IPhone14\n\n x";
  const auto words = [&](std::string_view pre) {
    const auto splitter = PreTokenizer::OfExpressions(FindNamedSplit(pre)->expressions);
    Pieces out{text, {{0, text.size()}}, MatchSteps(text.size())};
    EXPECT_TRUE(splitter->Apply(out).ok());
    std::string joined;
    for (size_t i = 0; i < out.pieces.size(); ++i) joined += std::string(out[i]) + "|";
    return joined;
  };
  EXPECT_EQ(words("gpt-2"), "It|'s| | 12345| IPhone|14|\n\n| x|");
  EXPECT_EQ(words("llama-bpe"), "It|'s| | |123|45| IPhone|14|\n\n| x|");
  EXPECT_EQ(words("dbrx"), words("llama-bpe"));
  EXPECT_EQ(words("qwen2"), "It|'s| | |1|2|3|4|5| IPhone|1|4|\n\n| x|");
  EXPECT_EQ(words("refact"), "It|'s|  |1|2|3|4|5| IPhone|1|4|\n\n| x|");
  EXPECT_EQ(words("gpt-4o"), "It's| | |123|45| IPhone|14|\n\n| x|");
}

TEST(BpeTokenizer, SpecialTokensAreSplitOutOfPromptsOnly) {
  TokenizerData data = Base();
  const int32_t end = Add(data, "<|im_end|>", TokenType::kControl);
  const int32_t call = Add(data, "<tool call>", TokenType::kUserDefined);
  data.bos = end, data.add_bos = true;
  const auto tokenizer = Make(data);
  EXPECT_EQ(*tokenizer->Encode("a<|im_end|>", true, true), (Ids{end, 'a', end}));
  EXPECT_EQ(*tokenizer->Encode("<tool call>", false, false), Ids{call});
  EXPECT_EQ(tokenizer->Encode("<|im_end|>", false, false)->size(), 10u);
  EXPECT_EQ(tokenizer->Piece(end), "");
  EXPECT_EQ(tokenizer->Piece(call), "<tool call>");
  EXPECT_TRUE(tokenizer->EndsGeneration(end));
  EXPECT_FALSE(tokenizer->EndsGeneration(call));
}

TEST(BpeTokenizer, WhatIsDataInAPromptIsNoControlToken) {
  TokenizerData data = Base();
  const int32_t end = Add(data, "<|im_end|>", TokenType::kControl);
  const auto tokenizer = Make(data);
  const DataRange said[] = {{0, 11}};
  const Ids ids = *tokenizer->Encode("a<|im_end|><|im_end|>", false, true, said);
  EXPECT_EQ(ids.size(), 12u);
  EXPECT_EQ(ids.back(), end);
  EXPECT_EQ(std::ranges::count(ids, end), 1);
}

TEST(BpeTokenizer, MergesOfDataDoNotMakeControlTokens) {
  TokenizerData data = Base();
  data.merges = {"e n", "en d"};
  const int32_t end = Add(data, "end", TokenType::kControl);
  const Ids ids = *Make(data)->Encode("end", false, false);
  EXPECT_EQ(std::ranges::count(ids, end), 0);
}

TEST(BpeTokenizer, RefusesDataThatContradictsItself) {
  const auto code = [](const TokenizerData& data) {
    return MakeTokenizer(data, "").status().code();
  };
  TokenizerData data = Base("some-new-pre");
  EXPECT_EQ(code(data), absl::StatusCode::kUnimplemented);
  data.pre = "qwen2";
  data.merges = {"ab"};
  EXPECT_EQ(code(data), absl::StatusCode::kInvalidArgument);
  data.merges = {"a \xe4\xb8\x80"};  // no letter of any byte
  EXPECT_EQ(code(data), absl::StatusCode::kInvalidArgument);
  data.merges = {};
  data.eos = 256;
  EXPECT_EQ(code(data), absl::StatusCode::kInvalidArgument);
  data.eos.reset();
  data.add_bos = true;
  EXPECT_EQ(code(data), absl::StatusCode::kInvalidArgument);
  data.add_bos = false;
  data.tokens.pop_back();  // the byte 0xff
  EXPECT_EQ(Make(data)->Encode("\xff", false, false).status().code(),
            absl::StatusCode::kInvalidArgument);
  data.tokens.clear();
  EXPECT_EQ(code(data), absl::StatusCode::kInvalidArgument);
}

TEST(BpeTokenizer, AnyBytesSurviveTheRoundTrip) {
  static constexpr const char* kParts[] = {
      "the ", "THE",      " and\r\n", "\xf0\x9f\xa6\x99", "\n",  "  ", "\xc3\x84",
      "1234", "\xf0\x9f", "\xff",     "\xed\xa0\x80",     "<x>", "'s"};
  std::mt19937_64 random(3);
  for (std::string pre : {"llama-bpe", "dbrx", "gpt-4o", "qwen2", "gpt-2", "refact"}) {
    TokenizerData data = Base(pre);
    AddMerge(data, "t", "h"), AddMerge(data, "th", "e"), AddMerge(data, " ", " "),
        AddMerge(data, "\n", "\n");
    AddMerge(data, "\xc3", "\x84"), Add(data, "<x>", TokenType::kUserDefined);
    const auto tokenizer = Make(data);
    for (int round = 0; round < 200; ++round) {
      std::string text;
      for (uint64_t n = random() % 30; n > 0; --n) text += kParts[random() % std::size(kParts)];
      if (round % 2 != 0) {
        for (char& c : text) {
          if (random() % 4 == 0) c = static_cast<char>(random());
        }
      }
      const auto ids = tokenizer->Encode(text, false, true);
      ASSERT_TRUE(ids.ok()) << ids.status();
      ASSERT_EQ(Decode(*tokenizer, *ids), text);
    }
  }
}

// No text makes matching quadratic, and a run of a million is nothing special.
TEST(BpeTokenizer, LongRunsAreSplitInBoundedTime) {
  for (const char* pre : {"llama-bpe", "gpt-4o", "qwen2", "gpt-2", "refact"}) {
    const auto tokenizer = Make(Base(pre));
    for (const char* part :
         {" ", "a", "A", "\n", " \n", "1", "!", "'", "aA", "\xff", "\xc2\xa0x"}) {
      std::string text;
      while (text.size() < 1 << 20) text += part;
      const auto ids = tokenizer->Encode(text + "x", false, false);
      ASSERT_TRUE(ids.ok()) << pre << " '" << part << "': " << ids.status();
      EXPECT_EQ(ids->size(), text.size() + 1);
    }
  }
}

// llama.cpp's own strings and ids (without BOS).
TEST(BpeTokenizer, EqualsLlamaCppOnLlama3Vocabulary) {
  const char* shared = std::getenv("QUANTFLEET_SHARED");
  if (shared == nullptr) GTEST_SKIP() << "QUANTFLEET_SHARED is not set: no reference vocabulary";
  const fs::path base = fs::path(shared) / "vocab";
  auto tokenizer = engine::LoadTokenizer(RealFileSystem(), base / "ggml-vocab-llama-bpe.gguf");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const std::string inputs = *RealFileSystem().ReadAll(base / "ggml-vocab-llama-bpe.gguf.inp");
  std::istringstream outputs(*RealFileSystem().ReadAll(base / "ggml-vocab-llama-bpe.gguf.out"));

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
    EXPECT_EQ(Decode(**tokenizer, *ids), text);
    ++compared;
  }
  EXPECT_EQ(compared, 46);
}

}  // namespace
}  // namespace quantfleet::text
