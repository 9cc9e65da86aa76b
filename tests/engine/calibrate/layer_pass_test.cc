// What a pass over the layers measures, against the definition in double precision.
#include "engine/calibrate/layer_pass.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/engine/calibrate/runnable_reference.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::engine {
namespace {

using namespace testing;  // NOLINT: the reference model

std::vector<int32_t> SomeIds(size_t count, int64_t vocab) {
  std::mt19937_64 random(7);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(vocab));
  return ids;
}

// All layers' statistics.
absl::StatusOr<std::vector<std::vector<InputStatistics>>> Measure(RunnableModel& model,
                                                                  std::span<const int32_t> ids,
                                                                  int64_t chunk,
                                                                  bool second_moments = true) {
  LayerPass pass(model, {.chunk = chunk, .second_moments = second_moments});
  QF_RETURN_IF_ERROR(pass.Begin(ids));
  std::vector<std::vector<InputStatistics>> layers;
  for (int layer = 0; layer < model.description.hyper.layers; ++layer) {
    QF_ASSIGN_OR_RETURN(layers.emplace_back(), pass.Run(layer));
  }
  return layers;
}

using Key = std::tuple<size_t, Role, int>;  // layer, role, expert

// The rows that each weight is multiplied with, chunk by chunk.
std::map<Key, Rows> ReferenceInputs(const ReferenceModel& model, std::span<const int32_t> ids,
                                    size_t chunk) {
  std::map<Key, Rows> inputs;
  on_reference_product = [&](const ReferenceWeights& l, Role role, int expert,
                             const std::vector<double>& x) {
    // The head's input is counted as the last layer's.
    const bool head = &l == &model.outer;
    if (head && role != Role::kOutputHead) return;
    const ptrdiff_t layer = head ? std::ssize(model.layers) - 1 : &l - model.layers.data();
    inputs[{static_cast<size_t>(layer), role, expert}].push_back(x);
  };
  for (size_t at = 0; at < ids.size(); at += chunk)
    ReferenceLogits(model, {},
                    {ids.begin() + static_cast<ptrdiff_t>(at),
                     ids.begin() + static_cast<ptrdiff_t>(at + chunk)});
  on_reference_product = nullptr;
  return inputs;
}

void ExpectClose(double got, double wanted, double scale) {
  ASSERT_NEAR(got, wanted, 1e-4 * scale);
}

void ExpectSums(const InputStatistics& one, size_t matrix, const Rows& rows) {
  const auto cols = static_cast<size_t>(one.input.cols);
  EXPECT_EQ(one.sums.counts[matrix], static_cast<int64_t>(rows.size()));
  double largest = 1e-9;
  for (size_t i = 0; i < cols; ++i) {
    double square = 0;
    for (const auto& row : rows) square += row[i] * row[i];
    largest = std::max(largest, square);
  }
  for (size_t i = 0; i < cols; ++i) {
    double sum = 0, square = 0;
    for (const auto& row : rows) sum += row[i], square += row[i] * row[i];
    ExpectClose(one.sums.sums[matrix * cols + i], sum, largest);
    ExpectClose(one.sums.squares[matrix * cols + i], square, largest);
  }
  if (!HasMoments(one.input)) return;
  const std::span<const double> triangle = one.moments[matrix]->Finish();
  ASSERT_EQ(triangle.size(), rows.empty() ? 0 : cols * (cols + 1) / 2);
  size_t at = 0;
  for (size_t i = 0; i < cols && !rows.empty(); ++i)
    for (size_t j = 0; j <= i; ++j) {
      double product = 0;
      for (const auto& row : rows) product += row[i] * row[j];
      ExpectClose(triangle[at++], product, largest);
    }
}

TEST(LayerPass, EveryFamilysInputsAreThoseOfTheDefinition) {
  for (const Family* family : pipeline::Decoders()) {
    SCOPED_TRACE(family->name);
    ReferenceOptions options{.family = family->name};
    const ReferenceModel model = ReferenceBuilder(options).Build();
    const std::vector<int32_t> ids = SomeIds(40, 50);
    RunnableModel runnable = MakeRunnable(model, 2);
    auto layers = Measure(runnable, ids, 20);
    ASSERT_OK(layers);
    const std::map<Key, Rows> reference = ReferenceInputs(model, ids, 20);
    for (size_t layer = 0; layer < layers->size(); ++layer) {
      for (const InputStatistics& one : (*layers)[layer]) {
        SCOPED_TRACE(one.input.names.front());
        // The last of them is always computed by Linear.
        const Role role = one.input.roles.back();
        for (int64_t m = 0; m < one.input.matrices; ++m) {
          const auto rows =
              reference.find({layer, role, one.input.matrices == 1 ? -1 : static_cast<int>(m)});
          ExpectSums(one, static_cast<size_t>(m), rows == reference.end() ? Rows() : rows->second);
        }
      }
    }
  }
}

TEST(LayerPass, AModelThatMakesEmbeddingsHasNoHead) {
  const ReferenceModel model = ReferenceBuilder({.family = "qwen3"}).Build();
  RunnableModel runnable = MakeRunnable(model);
  runnable.description.embedding.emplace();
  const auto layers = Measure(runnable, SomeIds(20, 50), 20);
  ASSERT_OK(layers);
  for (const InputStatistics& one : layers->back())
    EXPECT_NE(one.input.roles.front(), Role::kOutputHead);
}

TEST(LayerPass, ThreadsDoNotChangeABit) {
  ReferenceOptions options{.family = "llama", .dtype = DType::kF16};
  options.hyper.context = options.hyper.original_context = 400;
  const ReferenceModel model = ReferenceBuilder(options).Build();
  const std::vector<int32_t> ids = SomeIds(800, 50);
  RunnableModel one = MakeRunnable(model, 1, &ChosenMatrixOps()),
                three = MakeRunnable(model, 3, &ChosenMatrixOps());
  auto a = Measure(one, ids, 400), b = Measure(three, ids, 400);
  ASSERT_OK(a);
  ASSERT_OK(b);
  for (size_t layer = 0; layer < a->size(); ++layer) {
    for (size_t i = 0; i < (*a)[layer].size(); ++i) {
      const InputStatistics &x = (*a)[layer][i], &y = (*b)[layer][i];
      EXPECT_EQ(x.sums.sums, y.sums.sums);
      EXPECT_EQ(x.sums.squares, y.sums.squares);
      EXPECT_TRUE(std::ranges::equal(x.moments[0]->Finish(), y.moments[0]->Finish()));
    }
  }
}

// The pass that reads a plain prompt, and the one that goes layer by layer, come to the same.
TEST(LayerPass, StatesAreThoseOfAPrompt) {
  const ReferenceModel model = ReferenceBuilder({.family = "gemma3"}).Build();
  const std::vector<int32_t> ids = SomeIds(30, 50);
  RunnableModel runnable = MakeRunnable(model);
  LayerPass pass(runnable, {.chunk = 30});
  ASSERT_OK(pass.Begin(ids));
  for (int layer = 0; layer < model.description.hyper.layers; ++layer) ASSERT_OK(pass.Run(layer));
  const auto cache = *runnable.MakeCache(30);
  const Hyperparameters& h = model.description.hyper;
  ASSERT_OK(
      runnable.transformer->RunHidden(*cache, ids, [&](int64_t at, std::span<const float> normed) {
        const std::span<const float> x = pass.states().subspan(static_cast<size_t>(at * h.hidden),
                                                               static_cast<size_t>(h.hidden));
        const std::vector<double> wanted =
            FamilyNorm(*model.description.family, model.outer, Role::kOutputNorm,
                       Role::kOutputNormBias, h.norm_epsilon, {x.begin(), x.end()});
        for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(normed[i], wanted[i], 1e-4);
      }));
}

TEST(LayerPass, ExpertsThatNobodyChoseHaveNoRows) {
  const ReferenceModel model = ReferenceBuilder({.family = "qwen3moe"}).Build();
  RunnableModel runnable = MakeRunnable(model);
  auto layers = Measure(runnable, SomeIds(2, 50), 2);
  ASSERT_OK(layers);
  for (const InputStatistics& one : layers->front()) {
    if (one.input.matrices == 1) continue;
    EXPECT_EQ(one.sums.counts.size(), 6u);
    int64_t rows = 0;
    for (size_t m = 0; m < one.sums.counts.size(); ++m) {
      rows += one.sums.counts[m];
      if (one.sums.counts[m] == 0) {
        EXPECT_TRUE(one.moments[m]->Finish().empty());
      }
    }
    EXPECT_EQ(rows, 4) << "two tokens, two experts each";
  }
}

TEST(LayerPass, ValuesThatAreNotFiniteNameTheLayer) {
  ReferenceModel model = ReferenceBuilder({.family = "llama"}).Build();
  // A value of layer 1's v.
  const pipeline::Piece& piece = *model.description.Find(Role::kAttnV, 1);
  const float bad = std::numeric_limits<float>::infinity();
  std::memcpy(model.file.data() + model.offsets[piece.tensor], &bad, sizeof bad);
  RunnableModel runnable = MakeRunnable(model);
  EXPECT_ERROR(Measure(runnable, SomeIds(10, 50), 10).status(), kDataLoss,
               "layer 1: what blk.1.attn_output.weight");
}

TEST(LayerPass, StopsBetweenChunks) {
  const ReferenceModel model = ReferenceBuilder({.family = "llama"}).Build();
  RunnableModel runnable = MakeRunnable(model);
  std::stop_source stop;
  LayerPass pass(runnable,
                 {.chunk = 10, .stop = stop.get_token(), .on_progress = [&](int, int64_t done) {
                    EXPECT_EQ(done, 1);
                    stop.request_stop();
                  }});
  ASSERT_OK(pass.Begin(SomeIds(30, 50)));
  EXPECT_ERROR(pass.Run(0).status(), kCancelled, "stopped");
}

TEST(SecondMoments, PanelsOfAnyLengthAddUp) {
  constexpr int64_t kCols = 300;
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (const size_t count : {1, 5, 512, 1100}) {
    std::vector<float> values(count * kCols);
    for (float& v : values) v = normal(random);
    ThreadPool pool(2);
    SecondMoments moments(kCols, pool);
    std::vector<ActivationRow> rows;
    for (size_t r = 0; r < count; ++r)
      rows.push_back({values.data() + r * kCols, nullptr, nullptr, nullptr, nullptr});
    moments.Add(std::span(rows).first(count / 3));
    moments.Add(std::span(rows).subspan(count / 3));
    const std::span<const double> triangle = moments.Finish();
    ASSERT_EQ(static_cast<int64_t>(triangle.size()), SecondMoments::Values(kCols));
    size_t at = 0;
    for (size_t i = 0; i < kCols; ++i)
      for (size_t j = 0; j <= i; ++j) {
        double wanted = 0;
        for (size_t r = 0; r < count; ++r)
          wanted += double{values[r * kCols + i]} * double{values[r * kCols + j]};
        ASSERT_NEAR(triangle[at++], wanted, 1e-5 * static_cast<double>(count) + 1e-5);
      }
  }
}

}  // namespace
}  // namespace quantfleet::engine
