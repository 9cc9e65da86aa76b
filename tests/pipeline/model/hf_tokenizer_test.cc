#include "pipeline/model/hf_tokenizer.h"

#include <gtest/gtest.h>

#include "pipeline/model/spm_model.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using testing::SpmModelBytes;
using testing::SpmOptions;
using testing::TinySpmPieces;

HfConfig WithVocab(int64_t vocab) {
  HfConfig config;
  config.hyper.vocab = vocab;
  return config;
}

TEST(SpmModel, ReadsPiecesAndIds) {
  const auto m = ParseSpmModel(SpmModelBytes(TinySpmPieces(300), {.add_dummy_prefix = false, .padding = 5}));
  ASSERT_OK(m);
  ASSERT_EQ(m->pieces.size(), 300u);
  EXPECT_EQ(m->pieces[0].type, TokenType::kUnknown);
  EXPECT_EQ(m->pieces[1].type, TokenType::kControl);
  EXPECT_EQ(m->pieces[3].text, "<0x00>");
  EXPECT_EQ(m->pieces[3].type, TokenType::kByte);
  EXPECT_EQ(m->pieces[259].score, -1.0f);
  EXPECT_EQ(m->padding, 5);
  EXPECT_FALSE(m->add_dummy_prefix);
}

TEST(SpmModel, NegativeIdsMeanNone) {
  const auto m = ParseSpmModel(SpmModelBytes(TinySpmPieces(300), {.eos = -1}));
  ASSERT_OK(m);
  EXPECT_EQ(m->eos, -1);
}

TEST(SpmModel, RefusesUnigram) {
  EXPECT_ERROR(ParseSpmModel(SpmModelBytes(TinySpmPieces(300), {.model_type = 1})), kUnimplemented, "unigram");
}

TEST(SpmModel, RefusesWhatIsBroken) {
  const std::string whole = SpmModelBytes(TinySpmPieces(300));
  EXPECT_ERROR(ParseSpmModel(""), kInvalidArgument, "no pieces");
  EXPECT_ERROR(ParseSpmModel("this is text, not a model"), kInvalidArgument, "tokenizer.model");
  EXPECT_ERROR(ParseSpmModel(std::string_view(whole).substr(0, 100)), kInvalidArgument, "longer than the file");
  EXPECT_ERROR(ParseSpmModel(std::string(10, '\xff')), kInvalidArgument, "more than 64 bits");
  EXPECT_ERROR(ParseSpmModel(SpmModelBytes({{"a", 0, 9}})), kInvalidArgument, "unknown type 9");
  EXPECT_ERROR(ParseSpmModel(SpmModelBytes({{"a", std::numeric_limits<float>::quiet_NaN(), 1}})), kInvalidArgument,
               "not finite");
  EXPECT_ERROR(ParseSpmModel(SpmModelBytes({{std::string(2000, 'x'), 0, 1}})), kInvalidArgument, "2000 bytes");
}

TEST(HfTokenizer, SpmIsPaddedToTheVocabulary) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  const auto t = BuildTokenizer(files, WithVocab(304));
  ASSERT_OK(t);
  EXPECT_EQ(t->kind, TokenizerData::Kind::kSpm);
  EXPECT_EQ(t->pre, "default");
  ASSERT_EQ(t->tokens.size(), 304u);
  EXPECT_EQ(t->tokens[303].text, "[PAD303]");
  EXPECT_EQ(t->tokens[303].score, -10000.0f);
  EXPECT_EQ(t->tokens[303].type, TokenType::kUnused);
  EXPECT_EQ(t->bos, 1);
  EXPECT_EQ(t->eos, 2);
  EXPECT_EQ(t->unknown, 0);
  EXPECT_FALSE(t->padding.has_value());
  EXPECT_TRUE(t->add_bos);
  EXPECT_FALSE(t->add_eos);
  EXPECT_TRUE(t->add_space_prefix);
  EXPECT_ERROR(BuildTokenizer(files, WithVocab(299)), kInvalidArgument, "300 tokens, but vocab_size is 299");
}

TEST(HfTokenizer, AddedTokensOfEveryFile) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  files.added_tokens = R"({"<|one|>": 300, "<|two|>": 301, "<|beyond|>": 999})";
  files.tokenizer_config = R"({"added_tokens_decoder": {
      "0": {"content": "<unk>", "special": true}, "2": {"content": "</s>", "special": false},
      "301": {"content": "<|two|>", "special": true}},
      "eos_token": "<|two|>", "bos_token": {"content": "<s>"}, "pad_token": null, "add_bos_token": false})";
  files.tokenizer_json = R"({"added_tokens": [{"id": 302, "content": "<|three|>", "special": true}]})";
  const auto t = BuildTokenizer(files, WithVocab(304));
  ASSERT_OK(t);
  EXPECT_EQ(t->tokens[0].type, TokenType::kUnknown);
  EXPECT_EQ(t->tokens[2].type, TokenType::kUserDefined);
  EXPECT_EQ(t->tokens[2].score, -1000.0f);
  EXPECT_EQ(t->tokens[300].text, "<|one|>");
  EXPECT_EQ(t->tokens[300].type, TokenType::kUserDefined);
  EXPECT_EQ(t->tokens[301].type, TokenType::kControl);
  EXPECT_EQ(t->tokens[302].text, "<|three|>");
  EXPECT_EQ(t->tokens[303].type, TokenType::kUnused);
  EXPECT_EQ(t->eos, 301);
  EXPECT_EQ(t->bos, 1);
  EXPECT_FALSE(t->add_bos);
}

TEST(HfTokenizer, IdsOfTheConfigServeWhereNoNameDoes) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  HfConfig config = WithVocab(300);
  config.eos = 7;
  config.padding = 100000;
  const auto t = BuildTokenizer(files, config);
  ASSERT_OK(t);
  EXPECT_EQ(t->eos, 7);
  EXPECT_FALSE(t->padding.has_value());
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
  EXPECT_EQ(chat(R"({"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": "y"}]})"),
            "y");
  EXPECT_EQ(chat(R"({"chat_template": "one"})", "file"), "file");
  EXPECT_EQ(chat("{}"), "");
}

// tokenizer.json of byte-level BPE with the given pre-tokenizer and members of the model.
std::string ByteBpe(std::string_view pre_tokenizer, std::string_view merges = R"(["a b", "ab c"])",
                    std::string_view more = "") {
  return fmt::format(R"({{"added_tokens": [{{"id": 5, "content": "<|bos|>", "special": true}},
    {{"id": 6, "content": "<|user|>", "special": false}}],
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
constexpr std::string_view kGpt2Pre = R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true})";

absl::StatusOr<TokenizerData> FromJson(std::string json, std::string config = "{}") {
  HfTokenizerFiles files;
  files.tokenizer_json = std::move(json);
  files.tokenizer_config = std::move(config);
  return BuildTokenizer(files, WithVocab(8));
}

TEST(HfTokenizer, ByteLevelBpe) {
  const auto t = FromJson(ByteBpe(kLlama3Pre), R"({"bos_token": "<|bos|>"})");
  ASSERT_OK(t);
  EXPECT_EQ(t->kind, TokenizerData::Kind::kByteBpe);
  EXPECT_EQ(t->pre, "llama-bpe");
  EXPECT_EQ(t->merges, (std::vector<std::string>{"a b", "ab c"}));
  EXPECT_EQ(t->tokens[4].text, "abc");
  EXPECT_EQ(t->tokens[4].type, TokenType::kNormal);
  EXPECT_EQ(t->tokens[5].type, TokenType::kControl);
  EXPECT_EQ(t->tokens[6].type, TokenType::kUserDefined);
  EXPECT_EQ(t->tokens[7].type, TokenType::kUnused);
  EXPECT_EQ(t->bos, 5);
  EXPECT_FALSE(t->add_bos);
  EXPECT_FALSE(t->add_space_prefix);
}

TEST(HfTokenizer, PreTokenizersAreRecognised) {
  EXPECT_EQ(FromJson(ByteBpe(kQwen2Pre, R"([["a", "b"]])", R"(, "normalizer": {"type": "NFC"})"))->pre, "qwen2");
  EXPECT_EQ(FromJson(ByteBpe(kGpt2Pre))->pre, "gpt-2");
  EXPECT_ERROR(FromJson(ByteBpe(R"({"type": "Metaspace"})")), kUnimplemented, "'Metaspace'");
  EXPECT_ERROR(FromJson(ByteBpe("null")), kUnimplemented, "there is none");
  EXPECT_ERROR(FromJson(ByteBpe(R"({"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"}]})")),
               kUnimplemented, "a sequence of Digits, ByteLevel");
  std::string other(kLlama3Pre);
  other.replace(other.find("{1,3}"), 5, "{1,4}");
  EXPECT_ERROR(FromJson(ByteBpe(other)), kUnimplemented, "{1,4}");
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, "[]", R"(, "normalizer": {"type": "Lowercase"})")), kUnimplemented,
               "Lowercase");
}

TEST(HfTokenizer, MergesAsPairs) {
  const auto t = FromJson(ByteBpe(kGpt2Pre, R"([["a", "b"], ["ab", "c"]])"));
  ASSERT_OK(t);
  EXPECT_EQ(t->merges, (std::vector<std::string>{"a b", "ab c"}));
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, R"([["a", "b", "c"]])")), kInvalidArgument, "merge 0");
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, R"([["a b", "c"]])")), kInvalidArgument, "with a space");
  EXPECT_ERROR(FromJson(ByteBpe(kGpt2Pre, R"(["ab"])")), kInvalidArgument, "two tokens with a space");
}

TEST(HfTokenizer, ThePostProcessorSaysWhetherBosIsAdded) {
  const std::string post = R"(, "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"},
     {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|bos|>", "type_id": 0}},
                                               {"Sequence": {"id": "A", "type_id": 0}}]}]})";
  const auto t = FromJson(ByteBpe(kLlama3Pre, "[]", post), R"({"bos_token": "<|bos|>"})");
  ASSERT_OK(t);
  EXPECT_TRUE(t->add_bos);
  EXPECT_FALSE(t->add_eos);
}

TEST(HfTokenizer, RefusesOtherModels) {
  const auto model = [](std::string_view m) {
    return FromJson(fmt::format(R"({{"pre_tokenizer": {}, "model": {}}})", kGpt2Pre, m));
  };
  EXPECT_ERROR(model(R"({"type": "WordPiece"})"), kUnimplemented, "'WordPiece'");
  EXPECT_ERROR(model(R"({"type": "BPE", "byte_fallback": true})"), kUnimplemented, "tokenizer.model");
  EXPECT_ERROR(model(R"({"type": "BPE", "end_of_word_suffix": "</w>"})"), kUnimplemented, "suffixes");
  EXPECT_ERROR(model(R"({"type": "BPE", "vocab": {"a": -1}, "merges": []})"), kInvalidArgument, "out of range");
  EXPECT_ERROR(model(R"({"type": "BPE", "vocab": {"a": 1, "b": 1}, "merges": []})"), kInvalidArgument,
               "two tokens");
  EXPECT_ERROR(model(R"({"type": "BPE", "vocab": {"a": 8}, "merges": []})"), kInvalidArgument, "vocab_size is 8");
  EXPECT_ERROR(FromJson("{"), kInvalidArgument, "tokenizer.json is not valid JSON");
}

TEST(HfTokenizer, RefusesBadConfiguration) {
  HfTokenizerFiles files;
  files.model = SpmModelBytes(TinySpmPieces(300));
  files.tokenizer_config = R"({"added_tokens_decoder": {"x": {}}})";
  EXPECT_ERROR(BuildTokenizer(files, WithVocab(300)), kInvalidArgument, "'x', which is no token id");
  files.tokenizer_config = R"({"add_bos_token": "yes"})";
  EXPECT_ERROR(BuildTokenizer(files, WithVocab(300)), kInvalidArgument, "'add_bos_token' has to be true or false");
  files.tokenizer_config.reset();
  files.added_tokens = R"({"<x>": "1"})";
  EXPECT_ERROR(BuildTokenizer(files, WithVocab(300)), kInvalidArgument, "added_tokens.json");
}

}  // namespace
}  // namespace quantfleet::pipeline
