#include "pipeline/format/safetensors/hf_pooling.h"

#include <gmock/gmock.h>

#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<Pooling> Parse(std::string_view config) {
  return ParseHfPooling(config, 8, "1_Pooling/config.json");
}

TEST(HfPooling, ModulesNameTheFolder) {
  const auto folder = PoolingFolder(
      R"([{"idx":0,"path":"","type":"sentence_transformers.models.Transformer"},
          {"idx":1,"path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
          {"idx":2,"path":"2_Normalize","type":"sentence_transformers.models.Normalize"}])",
      "modules.json");
  ASSERT_OK(folder);
  EXPECT_EQ(*folder, "1_Pooling");
}

TEST(HfPooling, StagesThatAreNotCarriedOutAreRefused) {
  const auto dense = PoolingFolder(
      R"([{"path":"1_Pooling","type":"a.Pooling"},{"path":"2_Dense","type":"a.Dense"}])", "m");
  EXPECT_EQ(dense.status().code(), absl::StatusCode::kUnimplemented);
  for (const std::string_view wrong :
       {"", "{}", "[]", "[1]", R"([{"type":"a.Transformer"}])", R"([{"type":3}])",
        R"([{"path":"a","type":"a.Pooling"},{"path":"b","type":"a.Pooling"}])"})
    EXPECT_EQ(PoolingFolder(wrong, "m").status().code(), absl::StatusCode::kInvalidArgument)
        << wrong;
}

TEST(HfPooling, BothSpellingsOfAMode) {
  EXPECT_EQ(*Parse(R"({"pooling_mode_cls_token":false,"pooling_mode_mean_tokens":true})"),
            Pooling::kMean);
  EXPECT_EQ(*Parse(R"({"word_embedding_dimension":8,"pooling_mode_lasttoken":true})"),
            Pooling::kLast);
  EXPECT_EQ(*Parse(R"({"embedding_dimension":8,"pooling_mode":"cls"})"), Pooling::kCls);
}

TEST(HfPooling, ContradictionsNameBothSides) {
  const std::tuple<const char*, absl::StatusCode, const char*> cases[] = {
      {R"({"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true})",
       absl::StatusCode::kInvalidArgument, "both 'cls' and 'mean'"},
      {R"({"word_embedding_dimension":7,"pooling_mode_cls_token":true})",
       absl::StatusCode::kInvalidArgument, "hidden_size is 8"},
      {R"({"pooling_mode_mean_tokens":false})", absl::StatusCode::kInvalidArgument, "no pooling"},
      {R"({"pooling_mode_mean_tokens":"yes"})", absl::StatusCode::kInvalidArgument, "mean_tokens"},
      {R"({"pooling_mode_max_tokens":true})", absl::StatusCode::kUnimplemented, "'max'"},
      {R"({"pooling_mode":"weightedmean"})", absl::StatusCode::kUnimplemented, "weightedmean"},
      {R"({"pooling_mode":["cls","mean"]})", absl::StatusCode::kUnimplemented, "cls"},
      {R"({"pooling_mode":"loudest"})", absl::StatusCode::kUnimplemented, "loudest"},
  };
  for (const auto& [config, code, said] : cases) {
    const auto pooling = Parse(config);
    EXPECT_EQ(pooling.status().code(), code) << config;
    EXPECT_THAT(std::string(pooling.status().message()), HasSubstr(said));
  }
}

}  // namespace
}  // namespace quantfleet::pipeline
