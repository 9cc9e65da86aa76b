#include "cli/quality_text.h"

#include <gtest/gtest.h>

namespace quantfleet::cli {
namespace {

TEST(QualityText, AValueHasTheDigitsThatItsErrorGivesSense) {
  EXPECT_EQ(WithError(0.0123, 0.0012), "0.012 ± 0.001");
  EXPECT_EQ(WithError(0.43, 0.012), "0.430 ± 0.012");
  EXPECT_EQ(WithError(0.000612, 0.0000453), "0.00061 ± 0.00005");
  EXPECT_EQ(WithError(2.5, 0), "2.500");
  EXPECT_EQ(WithError(0, 1e-12), "0.000");
}

TEST(QualityText, SaysHowOftenTheChoiceIsTheReferences) {
  v1::MeasuredArtifact artifact;
  EXPECT_EQ(QualityText(artifact), "not measured");
  v1::EvaluationStatement& evaluation = *artifact.mutable_evaluation();
  EXPECT_EQ(QualityText(artifact).find("not measured"), 0u) << "golden answers alone";
  evaluation.set_reference("gguf:f16");
  evaluation.set_tokens(255);
  evaluation.set_top1_agreement(0.961);
  evaluation.set_mean_kl(0.0123);
  evaluation.set_kl_error(0.0012);
  EXPECT_EQ(QualityText(artifact), "96.1 % of F16's choices (KL 0.012 ± 0.001)");
  evaluation.set_reference("gguf:b\x1b[2Jf16");
  EXPECT_EQ(QualityText(artifact).find('\x1b'), std::string::npos);
  evaluation.Clear();
  evaluation.set_reference("gguf:f32");
  evaluation.set_vectors(12);
  evaluation.set_mean_cosine(0.99912);
  EXPECT_EQ(QualityText(artifact), "its vectors' mean cosine with F32's is 0.9991");
}

}  // namespace
}  // namespace quantfleet::cli
