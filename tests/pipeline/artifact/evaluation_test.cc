#include "pipeline/artifact/evaluation.h"

#include <gtest/gtest.h>

namespace quantfleet::pipeline {
namespace {

v1::EvaluationStatement Made(const std::string& kv_type, uint64_t context, int64_t at) {
  v1::EvaluationStatement evaluation;
  evaluation.set_kv_type(kv_type);
  evaluation.set_context(context);
  evaluation.set_evaluated_ms(at);
  return evaluation;
}

// Golden answers are compared with what was said over the same KV cache.
TEST(PickEvaluation, OneWithTheSameKvCacheGoesBeforeNewerOnes) {
  v1::Memory memory;
  memory.add_caches()->set_type("f16");
  const std::vector evaluations{Made("q8_0", 0, 1), Made("q8_0", 0, 2), Made("f16", 0, 3)};
  EXPECT_EQ(PickEvaluation(evaluations, memory, 4096, "q8_0")->evaluated_ms(), 2);
  EXPECT_EQ(PickEvaluation(evaluations, memory, 4096, "f32")->evaluated_ms(), 3);
  EXPECT_EQ(PickEvaluation(evaluations, memory, 0, "")->evaluated_ms(), 3);
  EXPECT_EQ(PickEvaluation({}, memory, 0, ""), nullptr);
}

// LongRoPE: a context above the original one turns heads otherwise, and the same prompt gets
// another answer.
TEST(PickEvaluation, AnswersOfALongContextAreNoMeasureForAShortOne) {
  v1::Memory memory;
  memory.set_short_context(4096);
  memory.set_model_context(131072);
  const std::vector evaluations{Made("f16", 4096, 1), Made("q8_0", 4097, 2)};
  EXPECT_EQ(PickEvaluation(evaluations, memory, 2048, "q8_0")->evaluated_ms(), 1);
  EXPECT_EQ(PickEvaluation(evaluations, memory, 131072, "f16")->evaluated_ms(), 2);
  EXPECT_EQ(PickEvaluation({Made("f16", 0, 1)}, memory, 8192, "f16"), nullptr);
  memory.clear_short_context();
  EXPECT_EQ(PickEvaluation({Made("f16", 0, 1)}, memory, 8192, "f16")->evaluated_ms(), 1);
}

}  // namespace
}  // namespace quantfleet::pipeline
