// A model in which numbers have moved from weights to those before them computes what it did.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/decode/engine.h"
#include "pipeline/family/family.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/folder_sink.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_name.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::engine {
namespace {

using quantfleet::testing::TempDir;
using quantfleet::testing::WriteTinyModel;

class FoldedModel : public ::testing::TestWithParam<const pipeline::Family*> {
 protected:
  // Logits of the model as it is, or folded at all sites by factors from 1/4 to 4.
  std::vector<float> Logits(const pipeline::ModelSource& source, bool folded) {
    pipeline::Plan plan = *MakePlan(source, {{"gguf", "f32"}});
    if (folded) {
      const std::vector<pipeline::FoldSite> sites = FoldSitesOf(source.description());
      std::vector<std::vector<float>> scales;
      for (const pipeline::FoldSite& site : sites) {
        scales.emplace_back();
        for (int64_t i = 0; i < site.width; ++i)
          scales.back().push_back(
              std::exp2(static_cast<float>((i * 7 + site.layer) % 41) / 10 - 2));
      }
      EXPECT_GT(sites.size(), 2u);
      plan.fold =
          std::make_shared<const pipeline::Fold>(FoldBy(source.description(), sites, scales));
    }
    const fs::path out = dir_ / (folded ? "folded" : "plain");
    const auto sink = pipeline::FolderSink::Open(RealFileSystem(), out, plan, {});
    EXPECT_OK(sink);
    const auto made = Execute(source, plan, **sink, {.threads = 1});
    EXPECT_OK(made);
    EXPECT_OK((*sink)->Finish(made->manifests));
    const auto engine =
        Engine::Load(out / "gguf-f32/model.gguf",
                     {.threads = 1, .kv_type = pipeline::DType::kF32, .float_activations = true});
    EXPECT_OK(engine);
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 24; ++i) tokens.push_back(260 + i * 7 % 50);
    const auto logits = (*engine)->Logits(tokens);
    EXPECT_OK(logits);
    return *logits;
  }

  TempDir dir_;
};
INSTANTIATE_TEST_SUITE_P(All, FoldedModel, ::testing::ValuesIn(pipeline::Decoders()),
                         [](const auto& test) {
                           return ::quantfleet::testing::TestName(test.param->name);
                         });

TEST_P(FoldedModel, SaysWhatItSaid) {
  WriteTinyModel(dir_ / "hf", GetParam()->name, {.dtype = pipeline::DType::kF32});
  const auto source = pipeline::OpenModel(RealFileSystem(), dir_ / "hf");
  ASSERT_OK(source);
  const std::vector<float> plain = Logits(**source, false), folded = Logits(**source, true);
  ASSERT_EQ(folded.size(), plain.size());
  double largest = 0, apart = 0;
  for (size_t i = 0; i < plain.size(); ++i) {
    largest = std::max(largest, std::abs(double{plain[i]}));
    apart = std::max(apart, std::abs(double{folded[i]} - plain[i]));
  }
  EXPECT_GT(largest, 0.01);
  EXPECT_LT(apart, 1e-4 * largest);
}

}  // namespace
}  // namespace quantfleet::engine
