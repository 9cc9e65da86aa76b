#include "engine/calibrate/self_text.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/engine/calibrate/runnable_reference.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::engine {
namespace {

using namespace testing;  // NOLINT: the reference model

// Letters, and marks of turns; token 1 begins a text, 2 ends one.
text::TokenizerData Letters(std::string_view chat_template) {
  text::TokenizerData data;
  data.kind = text::TokenizerData::Kind::kSpm;
  data.bos = 1, data.eos = 2, data.unknown = 0;
  data.add_space_prefix = false;
  data.tokens = {{"<unk>", 0, text::TokenType::kUnknown},
                 {"<s>", 0, text::TokenType::kControl},
                 {"</s>", 0, text::TokenType::kControl},
                 {"<user>", 0, text::TokenType::kControl},
                 {"<model>", 0, text::TokenType::kControl}};
  for (char c = 'a'; c <= 'z'; ++c) data.tokens.push_back({std::string(1, c)});
  while (data.tokens.size() < 50)
    data.tokens.push_back(
        {fmt::format("<0x{:02X}>", data.tokens.size()), 0, text::TokenType::kByte});
  data.chat_template = chat_template;
  return data;
}
constexpr std::string_view kTemplate =
    "{% for m in messages %}{% if m.role == 'user' %}<user>{% else %}<model>{% endif %}"
    "{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<model>{% endif %}";

class SelfTextTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<int32_t>> Write(SelfTextOptions options, int threads = 1,
                                             std::string_view chat_template = "") {
    RunnableModel model = MakeRunnable(model_, threads, &ChosenMatrixOps());
    model.description.tokenizer = Letters(chat_template);
    QF_ASSIGN_OR_RETURN(const auto tokenizer,
                        text::MakeTokenizer(model.description.tokenizer, "test"));
    if (options.memory_bytes == 0) options.memory_bytes = 1 << 30;
    return WriteSelfText(model, *tokenizer, options);
  }
  const ReferenceModel model_ = ReferenceBuilder({.family = "llama"}).Build();
};

TEST_F(SelfTextTest, WholeChunksThatBeginAsTextsDo) {
  const auto tokens = Write({.chunk = 20, .chunks = 3});
  ASSERT_OK(tokens);
  ASSERT_EQ(tokens->size(), 60u);
  for (size_t at = 0; at < 60; at += 20) EXPECT_EQ((*tokens)[at], 1);
  EXPECT_GT(std::set<int32_t>(tokens->begin(), tokens->end()).size(), 5u);
}

TEST_F(SelfTextTest, TheSeedAloneDecides) {
  const SelfTextOptions options{.chunk = 30, .chunks = 5};
  const auto tokens = Write(options);
  ASSERT_OK(tokens);
  EXPECT_EQ(*tokens, *Write(options, 3)) << "threads";
  SelfTextOptions narrow = options;
  // Room for the caches of two.
  narrow.memory_bytes = 2 * 30 * 3 * 2 * 2 * 16 * 2 + 1000;
  EXPECT_EQ(*tokens, *Write(narrow)) << "sequences that share a pass";
  SelfTextOptions other = options;
  other.seed = 2;
  EXPECT_NE(*tokens, *Write(other));
}

TEST_F(SelfTextTest, ChatsHaveTheTemplatesMarks) {
  const auto tokens = Write({.chunk = 60, .chunks = 8}, 1, kTemplate);
  ASSERT_OK(tokens);
  int turns = 0;
  for (size_t chunk = 0; chunk < 8; ++chunk) {
    const std::span<const int32_t> text = std::span(*tokens).subspan(chunk * 60, 60);
    EXPECT_EQ(text[0], 1);
    if (chunk % 4 == 0) continue;  // not a chat
    EXPECT_EQ(text[1], 3) << "the user begins";
    for (size_t i = 2; i + 1 < text.size(); ++i) {
      if (text[i] != 2) continue;
      ++turns;
      EXPECT_TRUE(text[i + 1] == 3 || text[i + 1] == 4) << "another turn follows";
    }
  }
  EXPECT_GT(turns, 0);
}

TEST_F(SelfTextTest, WhatDoesNotFitIsRefused) {
  EXPECT_ERROR(Write({.chunk = 20, .chunks = 3, .memory_bytes = 100}).status(), kResourceExhausted,
               "--chunk", "--memory");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_ERROR(Write({.chunk = 20, .chunks = 3, .stop = stop.get_token()}).status(), kCancelled,
               "stopped");
}

}  // namespace
}  // namespace quantfleet::engine
