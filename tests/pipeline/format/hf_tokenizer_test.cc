#include "pipeline/format/safetensors/hf_tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>

#include "pipeline/family/family.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_model.h"
#include "text/tokenizer/byte_letters.h"
#include "text/tokenizer/end_tokens.h"
#include "text/tokenizer/spm_model.h"
#include "text/tokenizer/tokenizer.h"

namespace quantfleet::pipeline {
namespace {

using testing::SpmModelBytes;
using testing::SpmOptions;
using testing::TinySpmPieces;

HfConfig WithVocab(int64_t vocab) {
  HfConfig config;
  config.family = FindFamily("phi3");
  config.hyper.vocab = vocab;
  return config;
}

TEST(SpmModel, ReadsPiecesAndIds) {
  const auto m = text::ParseSpmModel(
      SpmModelBytes(TinySpmPieces(300), {.add_dummy_prefix = false, .padding = 5}));
  ASSERT_OK(m);
  ASSERT_EQ(m->pieces.size(), 300u);
  EXPECT_EQ(m->pieces[0].type, text::TokenType::kUnknown);
  EXPECT_EQ(m->pieces[1].type, text::TokenType::kControl);
  EXPECT_EQ(m->pieces[3].text, "<0x00>");
  EXPECT_EQ(m->pieces[3].type, text::TokenType::kByte);
  EXPECT_EQ(m->pieces[259].score, -1.0f);
  EXPECT_EQ(m->padding, 5);
  EXPECT_FALSE(m->add_dummy_prefix);
}

TEST(SpmModel, NegativeIdsMeanNone) {
  const auto m = text::ParseSpmModel(SpmModelBytes(TinySpmPieces(300), {.eos = -1}));
  ASSERT_OK(m);
  EXPECT_EQ(m->eos, -1);
}

TEST(SpmModel, RefusesUnigram) {
  EXPECT_ERROR(text::ParseSpmModel(SpmModelBytes(TinySpmPieces(300), {.model_type = 1})),
               kUnimplemented, "unigram");
}

TEST(SpmModel, RefusesWhatIsBroken) {
  const std::string whole = SpmModelBytes(TinySpmPieces(300));
  EXPECT_ERROR(text::ParseSpmModel(""), kInvalidArgument, "pieces");
  EXPECT_ERROR(text::ParseSpmModel("this is text, not a model"), kInvalidArgument,
               "tokenizer.model");
  EXPECT_ERROR(text::ParseSpmModel(std::string_view(whole).substr(0, 100)), kInvalidArgument,
               "longer");
  EXPECT_ERROR(text::ParseSpmModel(std::string(10, '\xff')), kInvalidArgument, "more than 64 bits");
  EXPECT_ERROR(text::ParseSpmModel(SpmModelBytes({{"a", 0, 9}})), kInvalidArgument, "type 9");
  EXPECT_ERROR(
      text::ParseSpmModel(SpmModelBytes({{"a", std::numeric_limits<float>::quiet_NaN(), 1}})),
      kInvalidArgument, "not finite");
  EXPECT_ERROR(text::ParseSpmModel(SpmModelBytes({{std::string(2000, 'x'), 0, 1}})),
               kInvalidArgument, "2000 bytes");
}

TEST(HfTokenizer, SpmIsPaddedToTheVocabulary) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  const auto t = BuildTokenizer(files, WithVocab(304));
  ASSERT_OK(t);
  EXPECT_EQ(t->kind, text::TokenizerData::Kind::kSpm);
  EXPECT_EQ(t->pre, "default");
  ASSERT_EQ(t->tokens.size(), 304u);
  EXPECT_EQ(t->tokens[303].text, "[PAD303]");
  EXPECT_EQ(t->tokens[303].score, -10000.0f);
  EXPECT_EQ(t->tokens[303].type, text::TokenType::kUnused);
  EXPECT_EQ(t->bos, 1);
  EXPECT_EQ(t->eos, 2);
  EXPECT_EQ(t->unknown, 0);
  EXPECT_FALSE(t->padding.has_value());
  EXPECT_TRUE(t->add_bos);
  EXPECT_FALSE(t->add_eos);
  EXPECT_TRUE(t->add_space_prefix);
  EXPECT_ERROR(BuildTokenizer(files, WithVocab(299)), kInvalidArgument, "300 tokens", "vocab_size",
               "299");
}

TEST(HfTokenizer, AddedTokensOfEveryFile) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  files.added_tokens = R"({"<|one|>": 300, "<|two|>": 301, "<|beyond|>": 999})";
  files.tokenizer_config = R"({"added_tokens_decoder": {
      "0": {"content": "<unk>", "special": true}, "2": {"content": "</s>", "special": false},
      "301": {"content": "<|two|>", "special": true}},
      "eos_token": "<|two|>", "bos_token": {"content": "<s>"}, "pad_token": null, "add_bos_token": false})";
  files.tokenizer_json =
      R"({"added_tokens": [{"id": 302, "content": "<|three|>", "special": true}]})";
  const auto t = BuildTokenizer(files, WithVocab(304));
  ASSERT_OK(t);
  EXPECT_EQ(t->tokens[0].type, text::TokenType::kUnknown);
  EXPECT_EQ(t->tokens[2].type, text::TokenType::kUserDefined);
  EXPECT_EQ(t->tokens[2].score, -1000.0f);
  EXPECT_EQ(t->tokens[300].text, "<|one|>");
  EXPECT_EQ(t->tokens[300].type, text::TokenType::kUserDefined);
  EXPECT_EQ(t->tokens[301].type, text::TokenType::kControl);
  EXPECT_EQ(t->tokens[302].text, "<|three|>");
  EXPECT_EQ(t->tokens[303].type, text::TokenType::kUnused);
  EXPECT_EQ(t->eos, 301);
  EXPECT_EQ(t->bos, 1);
  EXPECT_FALSE(t->add_bos);
}

// As control tokens stand in tokenizer.model, so they remain: as an ordinary token, "</s>" in a
// message would end the turn.
TEST(HfTokenizer, AddedTokensThatListTheVocabularyAgainLowerNothing) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  files.added_tokens = R"({"<unk>": 0, "<s>": 1, "</s>": 2, "<0x0A>": 13, "<|new|>": 300})";
  const auto t = BuildTokenizer(files, WithVocab(301));
  ASSERT_OK(t);
  EXPECT_EQ(t->tokens[0].type, text::TokenType::kUnknown);
  EXPECT_EQ(t->tokens[1].type, text::TokenType::kControl);
  EXPECT_EQ(t->tokens[2].type, text::TokenType::kControl);
  EXPECT_EQ(t->tokens[2].text, "</s>");
  EXPECT_EQ(t->tokens[13].type, text::TokenType::kByte);
}

TEST(HfTokenizer, WhatOneFileCallsSpecialNoLaterFileCallsOrdinary) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  files.tokenizer_config = R"({"added_tokens_decoder": {
      "300": {"content": "[INST]", "special": true}}})";
  files.tokenizer_json =
      R"({"added_tokens": [{"id": 300, "content": "[INST]", "special": false}]})";
  const auto t = BuildTokenizer(files, WithVocab(301));
  ASSERT_OK(t);
  EXPECT_EQ(t->tokens[300].type, text::TokenType::kControl);
}

TEST(HfTokenizer, WhatEndsATextIsControlWhateverAFileSays) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  files.tokenizer_config = R"({"eos_token": "</s>", "added_tokens_decoder": {
      "1": {"content": "<s>", "special": false}, "2": {"content": "</s>", "special": false}}})";
  const auto t = BuildTokenizer(files, WithVocab(300));
  ASSERT_OK(t);
  EXPECT_EQ(t->eos, 2);
  EXPECT_EQ(t->tokens[1].type, text::TokenType::kControl);
  EXPECT_EQ(t->tokens[2].type, text::TokenType::kControl);
}

TEST(HfTokenizer, IdsOfTheConfigServeWhereNoNameDoes) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  HfConfig config = WithVocab(300);
  config.ends = {7, 9, 5, 7};
  config.padding = 100000;
  const auto t = BuildTokenizer(files, config);
  ASSERT_OK(t);
  EXPECT_EQ(t->eos, 7);
  EXPECT_EQ(t->more_ends, (std::vector<int32_t>{5, 9}));
  EXPECT_FALSE(t->padding.has_value());
}

// Phi-3's chats went on behind <|end|>: of several ends the tokenizer's own alone was kept.
TEST(HfTokenizer, EveryEndCountsBesideTheTokenizersOwn) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  files.added_tokens = R"({"<|endoftext|>": 300, "<|assistant|>": 301, "<|end|>": 302})";
  files.tokenizer_config = R"({"eos_token": "<|endoftext|>"})";
  HfConfig config = WithVocab(304);
  config.ends = {302, 301};
  const auto t = BuildTokenizer(files, config);
  ASSERT_OK(t);
  EXPECT_EQ(t->eos, 300);
  EXPECT_EQ(t->more_ends, (std::vector<int32_t>{301, 302}));
  EXPECT_EQ(text::EndIds(*t), (std::vector<int32_t>{300, 301, 302}));
}

TEST(HfTokenizer, ChatTemplates) {
  const auto chat = [](std::string config, std::optional<std::string> jinja = {}) {
    HfTokenizerFiles files;
    files.model = SpmModelBytes(TinySpmPieces(300));
    files.tokenizer_config = std::move(config);
    files.chat_template = std::move(jinja);
    return BuildTokenizer(files, WithVocab(300))->chat_template;
  };
  EXPECT_EQ(chat(R"({"chat_template": "one"})"), "one");
  EXPECT_EQ(
      chat(
          R"({"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": "y"}]})"),
      "y");
  EXPECT_EQ(chat(R"({"chat_template": "one"})", "file"), "file");
  EXPECT_EQ(chat("{}"), "");
}

// All but the default one were lost on the way.
TEST(HfTokenizer, NamedChatTemplates) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  files.tokenizer_config =
      R"({"chat_template": [{"name": "default", "template": "y"}, {"name": "tool_use", "template": "x"},
          {"name": "r a-g", "template": "z"}, {"name": "", "template": "w"}]})";
  const auto named = BuildTokenizer(files, WithVocab(300));
  EXPECT_EQ(named->chat_template, "y");
  EXPECT_EQ(named->named_templates,
            (std::vector<std::pair<std::string, std::string>>{{"tool_use", "x"}, {"r_a_g", "z"}}));
  // A processor's file comes before the tokenizer's, the template's own before both.
  files.chat_template_json = R"({"chat_template": "json"})";
  EXPECT_EQ(BuildTokenizer(files, WithVocab(300))->chat_template, "json");
  files.chat_template = "jinja";
  EXPECT_EQ(BuildTokenizer(files, WithVocab(300))->chat_template, "jinja");
  // Where templates are files, there are no others.
  files.more_templates = {{"tool_use", "f"}, {"r-a-g", "g"}};
  const auto filed = BuildTokenizer(files, WithVocab(300));
  EXPECT_EQ(filed->chat_template, "jinja");
  EXPECT_EQ(filed->named_templates,
            (std::vector<std::pair<std::string, std::string>>{{"tool_use", "f"}, {"r_a_g", "g"}}));
  files.chat_template_json = "[]";
  EXPECT_EQ(BuildTokenizer(files, WithVocab(300)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// tokenizer.json of byte-level BPE with the given pre-tokenizer and members of the model.
std::string ByteBpe(std::string_view pre_tokenizer, std::string_view merges = R"(["a b", "ab c"])",
                    std::string_view more = "") {
  return fmt::format(R"({{"added_tokens": [{{"id": 5, "content": "<|bos|>", "special": true}},
    {{"id": 6, "content": "<tool_call>", "special": false}}],
    "pre_tokenizer": {}{},
    "model": {{"type": "BPE", "vocab": {{"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4}}, "merges": {}}}}})",
                     pre_tokenizer, more, merges);
}
constexpr std::string_view kLlama3Pre = R"({"type": "Sequence", "pretokenizers": [
  {"type": "Split", "pattern": {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": false},
  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})";
constexpr std::string_view kQwen2Pre = R"({"type": "Sequence", "pretokenizers": [
  {"type": "Split", "pattern": {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": false},
  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}]})";
// Removing what does not match, inverted: another way to say Isolated, which Phi-4's files use.
constexpr std::string_view kPhi4MiniPre = R"({"type": "Sequence", "pretokenizers": [
  {"type": "Split", "pattern": {"Regex": "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "behavior": "Removed", "invert": true},
  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})";
constexpr std::string_view kGpt2Pre =
    R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true})";

// The same with a token for each byte, and some merges.
std::string EveryByte(std::string_view pre_tokenizer, std::string_view more = "") {
  std::string vocab;
  const auto add = [&](std::string_view token) {
    const auto id = std::ranges::count(vocab, '\n');
    vocab += fmt::format("{}{}: {}\n", id == 0 ? "" : ",",
                         boost::json::serialize(boost::json::string(token)), id);
  };
  for (int b = 0; b < 256; ++b) add(text::SpellBytes(std::string(1, static_cast<char>(b))));
  const std::string space = text::SpellBytes(" ");
  for (const std::string& token : {std::string("th"), std::string("the"), space + "the",
                                   std::string("12"), space + space, std::string("...")})
    add(token);
  return fmt::format(R"({{"pre_tokenizer": {0}{1}, "model": {{"type": "BPE", "vocab": {{{2}}},
      "merges": ["t h", "th e", "{3} the", "1 2", "{3} {3}"]}}}})",
                     pre_tokenizer, more, vocab, space);
}

absl::StatusOr<text::TokenizerData> FromJson(std::string json, std::string config = "{}",
                                             int64_t vocab = 8) {
  HfTokenizerFiles files;
  files.tokenizer_json = std::move(json);
  files.tokenizer_config = std::move(config);
  return BuildTokenizer(files, WithVocab(vocab));
}

// The same with a member more in the model.
std::string WithModelMember(std::string json, std::string_view member) {
  return json.replace(json.find(R"("type": "BPE")"), 13,
                      fmt::format(R"("type": "BPE", {})", member));
}

TEST(HfTokenizer, ByteLevelBpe) {
  const auto t = FromJson(WithModelMember(ByteBpe(kLlama3Pre), R"("ignore_merges": true)"),
                          R"({"bos_token": "<|bos|>"})");
  ASSERT_OK(t);
  EXPECT_EQ(t->kind, text::TokenizerData::Kind::kByteBpe);
  EXPECT_EQ(t->pre, "llama-bpe");
  EXPECT_EQ(t->merges, (std::vector<std::string>{"a b", "ab c"}));
  EXPECT_EQ(t->tokens[4].text, "abc");
  EXPECT_EQ(t->tokens[4].type, text::TokenType::kNormal);
  EXPECT_EQ(t->tokens[5].type, text::TokenType::kControl);
  EXPECT_EQ(t->tokens[6].type, text::TokenType::kUserDefined);
  EXPECT_EQ(t->tokens[7].type, text::TokenType::kUnused);
  EXPECT_EQ(t->bos, 5);
  EXPECT_FALSE(t->add_bos);
  EXPECT_FALSE(t->add_space_prefix);
}

TEST(HfTokenizer, PreTokenizersAreRecognised) {
  EXPECT_EQ(
      FromJson(ByteBpe(kQwen2Pre, R"([["a", "b"]])", R"(, "normalizer": {"type": "NFC"})"))->pre,
      "qwen2");
  EXPECT_EQ(FromJson(ByteBpe(kGpt2Pre))->pre, "gpt-2");
  // Phi-4 splits as Llama 3 does, but merges a word even if it is a token.
  EXPECT_EQ(FromJson(ByteBpe(kLlama3Pre))->pre, "dbrx");
  EXPECT_EQ(FromJson(WithModelMember(ByteBpe(kLlama3Pre), R"("ignore_merges": true)"))->pre,
            "llama-bpe");
  EXPECT_EQ(FromJson(ByteBpe(kPhi4MiniPre))->pre, "gpt-4o");
  for (const std::string_view pre : {kQwen2Pre, kGpt2Pre, kPhi4MiniPre, kLlama3Pre}) {
    const auto t =
        FromJson(ByteBpe(pre, "[]", pre == kQwen2Pre ? R"(, "normalizer": {"type": "NFC"})" : ""));
    ASSERT_OK(t);
    EXPECT_FALSE(t->description) << pre;
    EXPECT_FALSE(t->llama_cpp_differs) << pre;
  }
  const auto digits = [](std::string_view alone) {
    return FromJson(ByteBpe(fmt::format(
        R"({{"type": "Sequence", "pretokenizers": [{{"type": "Digits", "individual_digits": {}}},
            {{"type": "ByteLevel", "add_prefix_space": false}}]}})",
        alone)));
  };
  EXPECT_EQ(digits("true")->pre, "refact");
}

// What no name of llama.cpp's means goes along as it is written.
TEST(HfTokenizer, WhatNoNameMeansIsDescribed) {
  const auto described = [](std::string json) {
    const auto t = FromJson(std::move(json), "{}", 300);
    EXPECT_TRUE(t.ok()) << t.status();
    EXPECT_TRUE(t.ok() && t->description);
    return t.ok() && t->llama_cpp_differs;
  };
  EXPECT_TRUE(described(EveryByte(kGpt2Pre, R"(, "normalizer": {"type": "Lowercase"})")));
  EXPECT_TRUE(described(EveryByte(R"({"type": "Sequence", "pretokenizers": [
      {"type": "Punctuation"}, {"type": "ByteLevel", "use_regex": false}]})")));
  EXPECT_TRUE(described(EveryByte("null")));
  // Another way to write what a name means: llama.cpp makes the same ids of the samples.
  std::string other(kLlama3Pre);
  other.replace(other.find("{1,3}"), 5, R"({1}\\p{N}?\\p{N}?)");
  EXPECT_FALSE(described(EveryByte(other)));
  EXPECT_EQ(FromJson(EveryByte(other), "{}", 300)->pre, "dbrx");
}

TEST(HfTokenizer, ATemplateMayNameATokenWithoutItsId) {
  const auto t = FromJson(ByteBpe(kLlama3Pre, "[]", R"(, "post_processor": {"type":
      "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|bos|>"}},
                                       {"Sequence": {"id": "A"}}]})"));
  ASSERT_OK(t);
  EXPECT_EQ(t->bos, 5);
  EXPECT_TRUE(t->add_bos);
}

TEST(HfTokenizer, StagesThatAreNotKnownAreNamed) {
  EXPECT_ERROR(FromJson(ByteBpe(R"({"type": "Telepathy"})")), kUnimplemented,
               "tokenizer.json: pre_tokenizer", "'Telepathy'");
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, "[]", R"(, "normalizer": {"type": "Shout"})")),
               kUnimplemented, "tokenizer.json: normalizer", "'Shout'");
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, "[]", R"(, "decoder": {"type": "Guess"})")),
               kUnimplemented, "tokenizer.json: decoder", "'Guess'");
  EXPECT_ERROR(FromJson(ByteBpe(R"({"type": "Metaspace"})")), kInvalidArgument, "replacement");
  EXPECT_ERROR(
      FromJson(ByteBpe(R"({"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "(a"}})")),
      kInvalidArgument, "tokenizer.json: pre_tokenizer: Split: pattern");
}

TEST(HfTokenizer, TablesThatContradictThemselvesAreRefused) {
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, R"(["a b", "ab x"])")), kInvalidArgument,
               "tokenizer.json: model: merges", "merge 1", "'x'");
  const std::string twice = R"(, "added_tokens": [{"id": 1, "content": "c"}])";
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, "[]", twice)), kInvalidArgument, "'c'");
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, "[]", R"(, "post_processor": {"type":
      "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}],
      "special_tokens": {"x": {"id": "x", "ids": [1000], "tokens": ["x"]}}})")),
               kInvalidArgument, "post_processor", "1000");
}

TEST(HfTokenizer, MergesAsPairs) {
  const auto t = FromJson(ByteBpe(kGpt2Pre, R"([["a", "b"], ["ab", "c"]])"));
  ASSERT_OK(t);
  EXPECT_EQ(t->merges, (std::vector<std::string>{"a b", "ab c"}));
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, R"([["a", "b", "c"]])")), kInvalidArgument, "merge 0");
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, R"([["a b", "c"]])")), kInvalidArgument, "'a b'");
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, R"(["ab"])")), kInvalidArgument, "two tokens");
}

TEST(HfTokenizer, ThePostProcessorSaysWhetherBosIsAdded) {
  const std::string post =
      R"(, "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"},
     {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|bos|>", "type_id": 0}},
                                               {"Sequence": {"id": "A", "type_id": 0}}],
      "special_tokens": {"<|bos|>": {"id": "<|bos|>", "ids": [5], "tokens": ["<|bos|>"]}}}]})";
  const auto t = FromJson(ByteBpe(kLlama3Pre, "[]", post), R"({"bos_token": "<|bos|>"})");
  ASSERT_OK(t);
  EXPECT_TRUE(t->add_bos);
  EXPECT_FALSE(t->add_eos);
}

// llama.cpp's converter makes the same of them.
TEST(HfTokenizer, TokensThatLookSpecialAreControl) {
  const std::string added = R"({"added_tokens_decoder": {
      "5": {"content": "<|overruled|>", "special": false}, "4": {"content": "<|fim|>", "special": false},
      "7": {"content": "a\u2581b", "special": false}}})";
  const auto t = FromJson(WithModelMember(ByteBpe(kLlama3Pre), R"("ignore_merges": true)"), added);
  ASSERT_OK(t);
  const auto is = [&](size_t id, std::string_view text, text::TokenType type) {
    EXPECT_EQ(t->tokens[id].text, text);
    EXPECT_EQ(t->tokens[id].type, type) << text;
  };
  is(5, "<|bos|>", text::TokenType::kControl);  // tokenizer.json has the last word
  is(6, "<tool_call>", text::TokenType::kUserDefined);
  is(4, "<|fim|>", text::TokenType::kControl);
  is(7, "a b", text::TokenType::kUserDefined);
  // Phi-3's SentencePiece files are taken at their word.
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  files.tokenizer_config = added;
  HfConfig config = WithVocab(300);
  config.family = FindFamily("llama");
  EXPECT_EQ(BuildTokenizer(files, config)->tokens[4].type, text::TokenType::kControl);
  config.family = FindFamily("phi3");
  EXPECT_EQ(BuildTokenizer(files, config)->tokens[4].type, text::TokenType::kUserDefined);
  EXPECT_EQ(BuildTokenizer(files, config)->tokens[7].text,
            "a\xe2\x96\x81"
            "b");
}

TEST(HfTokenizer, NoTextTwice) {
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre), R"({"added_tokens_decoder": {"7": {"content": "ab"}}})"),
               kInvalidArgument, "3 and 7", "'ab'");
}

// Expressions run within limits; depth, counts and memory have limits too.
TEST(HfTokenizer, HostileJson) {
  const auto with_regex = [](std::string_view regex) {
    return FromJson(ByteBpe(fmt::format(
        R"({{"type": "Sequence", "pretokenizers": [{{"type": "Split", "pattern": {{"Regex": "{}"}},
            "behavior": "Isolated"}}, {{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}}]}})",
        regex)));
  };
  const auto slow = with_regex("(a+)+$");
  ASSERT_OK(slow);
  const auto tokenizer = text::MakeTokenizer(*slow, "");
  ASSERT_OK(tokenizer);
  EXPECT_EQ((*tokenizer)->Encode(std::string(60, 'a') + "b", false, true).status().code(),
            absl::StatusCode::kInvalidArgument);
  std::string nested;
  for (int i = 0; i < 5000; ++i) nested += "(a*";
  const auto refused = with_regex(nested);
  EXPECT_ERROR(refused, kInvalidArgument, "tokenizer.json", "(a*(a*", "nested");
  EXPECT_LT(refused.status().message().size(), 1200u);
  const auto repeat = [](std::string_view what, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += what;
    return out;
  };
  EXPECT_ERROR(FromJson(repeat(R"({"a":)", 1000000)), kInvalidArgument, "tokenizer.json", "JSON");
  EXPECT_ERROR(FromJson(repeat("[", 1000000)), kInvalidArgument, "tokenizer.json", "JSON");
  // Twelve bytes of memory for each byte of the file.
  EXPECT_ERROR(FromJson(R"({"added_tokens": [)" + repeat("0,", 16 << 20) + "0]}"),
               kResourceExhausted, "tokenizer.json");
  std::string vocab;
  for (int i = 0; i <= 1 << 20; ++i) vocab += fmt::format("{}\"{:x}\":{}", i == 0 ? "" : ",", i, i);
  EXPECT_ERROR(
      FromJson(fmt::format(R"({{"pre_tokenizer": {}, "model": {{"vocab": {{{}}}, "merges": []}}}})",
                           kGpt2Pre, vocab)),
      kInvalidArgument, "1048577 entries");
}

// As large as the largest that are published: 262 thousand tokens, half a million merges as pairs.
TEST(HfTokenizer, LargeJson) {
  constexpr int kTokens = 262144, kMerges = 515000, kWords = kTokens / 2;
  std::string vocab, merges;
  for (int i = 0; i < kTokens; ++i)
    vocab += fmt::format("{}\"{}{}\":{}", i == 0 ? "" : ",", i == kWords ? "x" : "t",
                         i < kWords    ? std::to_string(i)
                         : i == kWords ? ""
                                       : fmt::format("{}x", i - kWords - 1),
                         i);
  for (int i = 0; i < kMerges; ++i)
    merges += fmt::format("{}[\"t{}\",\"x\"]", i == 0 ? "" : ",", i % (kWords - 1));
  HfTokenizerFiles files;
  files.tokenizer_json =
      fmt::format(R"({{"pre_tokenizer": {}, "model": {{"vocab": {{{}}}, "merges": [{}]}}}})",
                  kGpt2Pre, vocab, merges);
  const auto t = BuildTokenizer(files, WithVocab(kTokens));
  ASSERT_OK(t);
  EXPECT_EQ(t->merges.size(), static_cast<size_t>(kMerges));
}

TEST(HfTokenizer, RefusesOtherModels) {
  const auto model = [](std::string_view m) {
    return FromJson(fmt::format(R"({{"pre_tokenizer": {}, "model": {}}})", kGpt2Pre, m));
  };
  EXPECT_ERROR(model(R"({"type": "CharLevel"})"), kUnimplemented, "'CharLevel'");
  EXPECT_ERROR(model(R"({"type": "WordPiece"})"), kInvalidArgument, "no vocab");
  EXPECT_ERROR(model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1})"),
               kUnimplemented, "dropout");
  EXPECT_ERROR(model(R"({"type": "BPE", "vocab": {"a": -1}, "merges": []})"), kInvalidArgument,
               "'a' is -1");
  EXPECT_ERROR(model(R"({"type": "BPE", "vocab": {"a": 1, "b": 1}, "merges": []})"),
               kInvalidArgument, "two tokens");
  EXPECT_ERROR(model(R"({"type": "BPE", "vocab": {"a": 8}, "merges": []})"), kInvalidArgument,
               "vocab_size is 8");
  EXPECT_ERROR(FromJson("{"), kInvalidArgument, "tokenizer.json", "JSON");
}

TEST(HfTokenizer, RefusesBadConfiguration) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  files.tokenizer_config = R"({"added_tokens_decoder": {"x": {}}})";
  EXPECT_ERROR(BuildTokenizer(files, WithVocab(300)), kInvalidArgument, "'x'");
  files.tokenizer_config = R"({"add_bos_token": "yes"})";
  EXPECT_ERROR(BuildTokenizer(files, WithVocab(300)), kInvalidArgument, "'add_bos_token'");
  files.tokenizer_config.reset();
  files.added_tokens = R"({"<x>": "1"})";
  EXPECT_ERROR(BuildTokenizer(files, WithVocab(300)), kInvalidArgument, "added_tokens.json");
}

}  // namespace
}  // namespace quantfleet::pipeline
