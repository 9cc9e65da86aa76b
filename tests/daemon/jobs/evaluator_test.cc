#include "daemon/jobs/evaluator.h"

#include <set>

#include "common/trust/statement.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/family/family.h"
#include "pipeline/format/registry/open_model.h"
#include "tests/daemon/jobs/jobs_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class EvaluatorTest : public JobsFixture {
 protected:
  void MakeMeasuringRunner(EvaluationOptions evaluation = {.tokens = 48}) {
    runner_.reset();
    JobRunner::Options options;
    options.threads = 1;
    options.evaluation = std::move(evaluation);
    options.scratch = dir_ / "evaluation";
    runner_ = std::make_unique<JobRunner>(
        JobRunner::Collaborators{*store_, *authority_, blobs_, files_, random_, clock_}, options);
  }
  std::vector<v1::EvaluationStatement> EvaluationsOf(const std::string& artifact) {
    std::vector<v1::EvaluationStatement> evaluations;
    const auto record = Once(*store_)->artifacts().Get(artifact);
    EXPECT_OK(record);
    for (const v1::Signed& statement : record->statements) {
      if (statement.payload_type() != trust::kEvaluationStatementType) continue;
      EXPECT_OK(
          trust::Verify(statement, trust::kEvaluationStatementType, authority_->trust_root()));
      EXPECT_TRUE(evaluations.emplace_back().ParseFromString(statement.payload()));
      EXPECT_EQ(evaluations.back().manifest_digest(), record->artifact.manifest_digest());
    }
    return evaluations;
  }
};

TEST_F(EvaluatorTest, EachArtifactIsMeasuredOnceBesideItsManifest) {
  ImportModel();
  MakeRunner();  // measures nothing
  const v1::Job plain = RunToEnd(Submit({"iot", "edge"}));
  ASSERT_EQ(plain.state(), v1::Job::SUCCEEDED) << plain.error_message();
  EXPECT_THAT(EvaluationsOf(plain.artifacts(0)), SizeIs(0));

  MakeMeasuringRunner();
  const v1::Job job = RunToEnd(Submit({"iot", "edge"}));
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_EQ(job.evaluation_error(), "");
  EXPECT_EQ(job.artifacts(0), plain.artifacts(0)) << "the manifest knows nothing of it";
  const auto q4_0 = EvaluationsOf(job.artifacts(0)), f16 = EvaluationsOf(job.artifacts(1));
  ASSERT_THAT(q4_0, SizeIs(1));
  ASSERT_THAT(f16, SizeIs(1));
  EXPECT_EQ(q4_0[0].reference(), "gguf:bf16");
  EXPECT_EQ(q4_0[0].tokens(), 47u);
  EXPECT_GT(q4_0[0].mean_nll(), 0);
  EXPECT_EQ(q4_0[0].reference_mean_nll(), f16[0].reference_mean_nll());
  EXPECT_LT(f16[0].mean_kl(), q4_0[0].mean_kl());
  EXPECT_LE(q4_0[0].top1_agreement(), f16[0].top1_agreement());
  ASSERT_THAT(q4_0[0].golden(), SizeIs(3));
  EXPECT_GT(q4_0[0].golden(0).prompt_size(), 1);
  EXPECT_LE(q4_0[0].golden(0).answer_size(), 16);
  EXPECT_FALSE(fs::exists(dir_ / "evaluation")) << "nothing plain is left";

  MakeMeasuringRunner();
  RunToEnd(Submit({"iot", "edge"}));
  EXPECT_THAT(EvaluationsOf(job.artifacts(0)), SizeIs(1)) << "once";
  MakeMeasuringRunner({.tokens = 48, .prompts = {"another prompt"}});
  RunToEnd(Submit({"iot", "edge"}));
  ASSERT_THAT(EvaluationsOf(job.artifacts(0)), SizeIs(2)) << "other prompts, another evaluation";
  EXPECT_THAT(EvaluationsOf(job.artifacts(0))[1].golden(), SizeIs(1));
}

// Formats that other runtimes run: the same values under other names, orders and arrangements are
// the same model.
TEST_F(EvaluatorTest, OtherFormatsAreMeasuredByTheirDequantizedCodes) {
  constexpr std::pair<const char*, const char*> kTargets[] = {
      {"mlx", "bf16"}, {"onnx", "fp32"}, {"mlx", "int4"}, {"onnx", "int4"}, {"openvino", "int4"}};
  const std::set<std::string_view> exact{"mlx-bf16", "onnx-fp32"};  // of a BF16 source
  std::vector<std::string> classes;
  for (const auto& [format, recipe] : kTargets) {
    v1::DeviceClass device_class;
    device_class.set_name(classes.emplace_back(fmt::format("{}-{}", format, recipe)));
    device_class.set_format(format);
    device_class.set_recipe(recipe);
    ASSERT_OK(Once(*store_)->classes().Put(device_class));
  }
  for (const pipeline::Family* family : pipeline::Decoders()) {
    SCOPED_TRACE(family->name);
    fs::remove_all(model_);
    const bool tied = family->name == "qwen2";
    testing::WriteTinyModel(model_, family->name, {.layers = 1, .tied = tied});
    ImportModel();
    MakeMeasuringRunner();
    std::vector<std::string> wanted = classes;
    // The other formats have no mixtures.
    if (family->experts)
      std::erase_if(wanted, [](const std::string& name) { return !name.starts_with("mlx"); });
    const v1::Job job = RunToEnd(Submit(wanted));
    ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
    EXPECT_EQ(job.evaluation_error(), "");
    ASSERT_EQ(job.artifacts_size(), static_cast<int>(wanted.size()));
    for (int i = 0; i < job.artifacts_size(); ++i) {
      const std::string& name = wanted[static_cast<size_t>(i)];
      SCOPED_TRACE(name);
      const auto found = EvaluationsOf(job.artifacts(i));
      ASSERT_THAT(found, SizeIs(1));
      EXPECT_EQ(found[0].weights(), v1::EvaluationStatement::DEQUANTIZED);
      EXPECT_THAT(found[0].golden(), SizeIs(3));
      if (exact.contains(name)) {
        // MLX keeps its cache in BF16, for which the engine takes F16; the reference has F32.
        const bool half = found[0].kv_type() == "bf16";
        EXPECT_EQ(found[0].kv_type(), half ? "bf16" : "f32");
        EXPECT_NEAR(found[0].mean_nll(), found[0].reference_mean_nll(), half ? 1e-3 : 1e-6);
        EXPECT_NEAR(found[0].mean_kl(), 0, half ? 1e-5 : 1e-9);
      } else {
        EXPECT_GT(found[0].mean_kl(), 1e-6);
        // Gemma's scaled embeddings give random weights the sharpest logits. Random routers' scores
        // lie so close together that with four bits some tokens go through other experts.
        // Norms of what a part adds make as much of its error as of itself.
        const bool norms = FindTensor(*family, pipeline::Role::kAttnPostNorm) != nullptr;
        EXPECT_LT(found[0].mean_kl(), family->experts           ? 1
                                      : norms                   ? 0.25
                                      : family->name == "gemma" ? 0.12
                                                                : 0.1);
      }
    }
    EXPECT_FALSE(fs::exists(dir_ / "evaluation")) << "nothing plain is left";
  }
}

TEST_F(EvaluatorTest, OneThatFailsLeavesTheOthersStanding) {
  ImportModel();
  MakeRunner();
  const v1::Job job = RunToEnd(Submit({"iot"}));
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  v1::Manifest manifest, lost, strange;
  ASSERT_TRUE(manifest.ParseFromString(Once(*store_)->artifacts().Get(job.artifacts(0))->manifest));
  lost = strange = manifest;
  const std::string nowhere = HashText("in no store").raw();
  for (v1::ArtifactFile& file : *lost.mutable_files()) file.mutable_chunks(0)->set_digest(nowhere);
  strange.mutable_target()->set_format("strange");

  Evaluator evaluator({blobs_, files_, clock_}, {.tokens = 48}, dir_ / "evaluation", 1, 64 << 20);
  const auto source = pipeline::OpenModel(files_, model_);
  ASSERT_OK(source);
  const auto evaluations =
      evaluator.Evaluate(**source, {{lost, "f16"}, {strange, "f16"}, {manifest, "q8_0"}}, {});
  ASSERT_OK(evaluations);
  ASSERT_THAT(*evaluations, SizeIs(3));
  EXPECT_ERROR((*evaluations)[0], kNotFound, "");
  EXPECT_ERROR((*evaluations)[1], kUnimplemented, "'strange'");
  ASSERT_OK((*evaluations)[2]);
  EXPECT_EQ((*evaluations)[2]->weights(), v1::EvaluationStatement::AS_SEALED);
  EXPECT_EQ((*evaluations)[2]->kv_type(), "q8_0");
}

TEST_F(EvaluatorTest, WhatCannotBeMeasuredIsGoodAllTheSame) {
  ImportModel();
  fs::create_directories(dir_ / "evaluation");
  MakeMeasuringRunner({.tokens = 48, .prompts = {"</s>"}});
  const v1::Job job = RunToEnd(Submit({"iot"}));
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_THAT(job.evaluation_error(), HasSubstr("control token"));
  EXPECT_THAT(EvaluationsOf(job.artifacts(0)), SizeIs(0));
  EXPECT_FALSE(fs::exists(dir_ / "evaluation"));
}

TEST_F(EvaluatorTest, WhatAnEarlierProcessLeftIsRemoved) {
  fs::create_directories(dir_ / "evaluation/reference/gguf-f32");
  MakeMeasuringRunner();
  EXPECT_FALSE(fs::exists(dir_ / "evaluation"));
}

}  // namespace
}  // namespace quantfleet::daemon
