#include "pipeline/model/hf_generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

using ::testing::ElementsAre;

TEST(HfGeneration, AllEndsAndWhatSamplingThePublisherRecommends) {
  const auto g = ParseHfGeneration(
      R"({"eos_token_id": [300, 301, 7], "do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95,
          "min_p": 0, "repetition_penalty": 1.05, "pad_token_id": 300, "transformers_version": "4.40.0"})",
      320);
  ASSERT_OK(g);
  EXPECT_THAT(g->ends, ElementsAre(300, 301, 7));
  EXPECT_EQ(g->sampling, (SamplingDefaults{.samples = true,
                                           .temperature = 0.6f,
                                           .top_p = 0.95f,
                                           .min_p = 0.f,
                                           .repetition_penalty = 1.05f,
                                           .top_k = 20}));
}

TEST(HfGeneration, WhatIsNotSaid) {
  const auto g = ParseHfGeneration(R"({"eos_token_id": 2, "top_k": null})", 320);
  ASSERT_OK(g);
  EXPECT_THAT(g->ends, ElementsAre(2));
  EXPECT_EQ(g->sampling, SamplingDefaults{});
  EXPECT_TRUE(ParseHfGeneration(R"({"eos_token_id": -1})", 320)->ends.empty());
  EXPECT_TRUE(ParseHfGeneration("{}", 320)->ends.empty());
}

TEST(HfGeneration, OtherWordsForTheSame) {
  EXPECT_EQ(ParseHfGeneration(R"({"do_sample": true, "temperature": 0})", 9)->sampling,
            SamplingDefaults{.samples = false});
  EXPECT_EQ(ParseHfGeneration(R"({"top_k": -1})", 9)->sampling.top_k, 0);
}

TEST(HfGeneration, ErrorsNameFileAndField) {
  const auto said = [](const char* text, std::string_view what) {
    EXPECT_ERROR(ParseHfGeneration(text, 320), kInvalidArgument, what);
  };
  said(R"({"eos_token_id": [2, 320]})",
       "generation_config.json: 'eos_token_id' names token 320, which is outside the vocabulary of "
       "320");
  said(R"({"eos_token_id": -2})", "'eos_token_id' names token -2");
  said(R"({"eos_token_id": [2, "</s>"]})",
       "'eos_token_id' must be a token id or a list of token ids");
  said(R"({"eos_token_id": {}})", "'eos_token_id' must be a token id or a list of token ids");
  said(R"({"temperature": -0.1})",
       "generation_config.json: 'temperature' is -0.1; it must be at least 0 and at most");
  said(R"({"temperature": 1e300})", "'temperature' is 1e+300");
  said(R"({"temperature": "hot"})", "'temperature' must be a number");
  said(R"({"top_p": 0})", "'top_p' is 0; it must be above 0 and at most 1");
  said(R"({"top_p": 1.5})", "'top_p' is 1.5");
  said(R"({"min_p": -1})", "'min_p' is -1");
  said(R"({"repetition_penalty": 0})", "'repetition_penalty' is 0; it must be above 0");
  said(R"({"top_k": -2})",
       "generation_config.json: 'top_k' is -2; it must be a number of tokens, or 0 for all");
  said(R"({"top_k": 3000000000})", "'top_k' is 3000000000");
  said(R"({"top_k": 1.5})", "'top_k' must be an integer");
  said(R"({"do_sample": 1})", "'do_sample' must be true or false");
  said("[]", "does not contain a JSON object");
}

}  // namespace
}  // namespace quantfleet::pipeline
