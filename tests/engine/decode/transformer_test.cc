// The engine's arithmetic against a double-precision reference, and against itself: batches,
// threads.
#include "engine/decode/transformer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "pipeline/family/family.h"
#include "tests/engine/decode/reference_model.h"

namespace quantfleet::engine {
namespace {

using namespace testing;  // NOLINT: the reference model
using Want = Transformer::Want;

std::vector<int32_t> RandomIds(size_t n, int64_t vocab) {
  std::mt19937_64 random(5);
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(vocab));
  return ids;
}

std::vector<float> RunAll(const ReferenceModel& model, const std::vector<int32_t>& ids,
                          int threads = 1, const VectorOps& ops = ChosenOps(), size_t cut = 1000,
                          int64_t context = 64, const MatrixOps* matrix_ops = nullptr,
                          DType kv_type = DType::kF32) {
  ThreadPool pool(threads);
  auto weights = model.Map(ops);
  EXPECT_TRUE(weights.ok()) << weights.status();
  auto transformer = Transformer::Create(model.description.hyper, std::move(*weights), context,
                                         pool, ops, matrix_ops);
  EXPECT_TRUE(transformer.ok()) << transformer.status();
  const auto cache = *KvCache::Create(model.description.hyper, kv_type, context);
  std::vector<float> all, part;
  for (size_t at = 0; at < ids.size(); at += cut) {
    const absl::Status status =
        (*transformer)
            ->Run(*cache, std::span(ids).subspan(at, std::min(cut, ids.size() - at)), Want::kAll,
                  part);
    EXPECT_TRUE(status.ok()) << status;
    all.insert(all.end(), part.begin(), part.end());
  }
  EXPECT_EQ(cache->length(), static_cast<int64_t>(ids.size()));
  return all;
}

void ExpectNear(const std::vector<float>& logits, const Rows& reference) {
  ASSERT_EQ(logits.size(), reference.size() * reference[0].size());
  double worst = 0, largest = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double expected = reference[i / reference[0].size()][i % reference[0].size()];
    worst = std::max(worst, std::abs(expected - logits[i]));
    largest = std::max(largest, std::abs(expected));
  }
  EXPECT_GT(largest, 1);
  EXPECT_LT(worst, 2e-5 * largest) << "largest logit " << largest;
}

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0};

TEST(Transformer, EveryArchitectureAndTypeMatchesTheDefinition) {
  for (const Family* family : pipeline::Decoders()) {
    for (DType dtype : kTypes) {
      SCOPED_TRACE(fmt::format("{} {}", family->name, Info(dtype).name));
      ReferenceOptions options{.family = family->name, .dtype = dtype};
      options.tied = dtype == DType::kQ8_0;
      const ReferenceModel model = ReferenceBuilder(options).Build();
      const std::vector<int32_t> ids = RandomIds(20, 50);
      const Rows reference = ReferenceLogits(model, {}, ids);
      ExpectNear(RunAll(model, ids), reference);
      ExpectNear(RunAll(model, ids, 1, ScalarOps()), reference);
    }
  }
}

// Five layers, of which the fourth does not turn where the family says so.
TEST(Transformer, LayersMayBeWithoutRotaryEmbedding) {
  for (const std::string_view family : {"llama", "smollm3"}) {
    ReferenceOptions options{.family = family};
    options.hyper.layers = 5;
    const ReferenceModel model = ReferenceBuilder(options).Build();
    const std::vector<int32_t> ids = RandomIds(20, 50);
    ExpectNear(RunAll(model, ids), ReferenceLogits(model, {}, ids));
  }
}

// What a layer with a window has given up is what no later token sees: in passes of every length,
// and behind them, the logits are those of the definition.
TEST(Transformer, ShortCachesOfLayersWithAWindowAreEnough) {
  for (const std::string_view family : {"gemma2", "gemma3"}) {
    for (const int64_t window : {1, 5, 60}) {
      ReferenceOptions options{.family = family};
      options.hyper.sliding_window = window, options.hyper.full_every = 3;
      options.hyper.context = options.hyper.original_context = 512;
      const ReferenceModel model = ReferenceBuilder(options).Build();
      const std::vector<int32_t> ids = RandomIds(400, 50);
      const Rows reference = ReferenceLogits(model, {}, ids);
      for (const size_t cut : {1, 100, 128, 1000}) {
        SCOPED_TRACE(fmt::format("{}, window {}, passes of {}", family, window, cut));
        ExpectNear(RunAll(model, ids, 1, ChosenOps(), cut, 512), reference);
      }
    }
  }
}

TEST(Transformer, LinearScalingIsOfLayersWithoutAWindowAlone) {
  ReferenceOptions options{.family = "gemma3"};
  options.hyper.rope_scaling.kind = pipeline::RopeScaling::Kind::kLinear;
  options.hyper.rope_scaling.factor = 8;
  const ReferenceModel model = ReferenceBuilder(options).Build();
  const std::vector<int32_t> ids = RandomIds(20, 50);
  ExpectNear(RunAll(model, ids), ReferenceLogits(model, {std::vector<double>(8, 8.0)}, ids));
}

TEST(Transformer, HeadsMayBeOfASizeOfTheirOwn) {
  for (const std::string_view family : {"llama", "qwen3"}) {
    ReferenceOptions options{.family = family};
    options.hyper.head_dim = options.hyper.rope_dims = 24;
    const ReferenceModel model = ReferenceBuilder(options).Build();
    const std::vector<int32_t> ids = RandomIds(20, 50);
    ExpectNear(RunAll(model, ids), ReferenceLogits(model, {}, ids));
  }
}

TEST(Transformer, PartialRotaryLeavesTheRestOfAHead) {
  ReferenceOptions options;
  options.hyper.rope_dims = 12;
  const ReferenceModel model = ReferenceBuilder(options).Build();
  const std::vector<int32_t> ids = RandomIds(20, 50);
  ExpectNear(RunAll(model, ids), ReferenceLogits(model, {}, ids));
}

TEST(Transformer, LongRopeFollowsTheAllocatedContext) {
  ReferenceOptions options;
  options.hyper.context = 128;
  options.hyper.original_context = 64;
  pipeline::RopeScaling& scaling = options.hyper.rope_scaling;
  scaling.kind = pipeline::RopeScaling::Kind::kLongRope;
  scaling.attention_factor = 1.19f;
  for (int i = 0; i < 8; ++i) {
    scaling.short_factors.push_back(1.f + 0.1f * static_cast<float>(i));
    scaling.long_factors.push_back(2.f + static_cast<float>(i));
  }
  const ReferenceModel model = ReferenceBuilder(options).Build();
  const std::vector<int32_t> ids = RandomIds(20, 50);
  const std::vector<double> brief(scaling.short_factors.begin(), scaling.short_factors.end());
  const std::vector<double> wide(scaling.long_factors.begin(), scaling.long_factors.end());
  ExpectNear(RunAll(model, ids, 1, ChosenOps(), 1000, 64),
             ReferenceLogits(model, {brief, 1.19f}, ids));
  ExpectNear(RunAll(model, ids, 1, ChosenOps(), 1000, 65),
             ReferenceLogits(model, {wide, 1.19f}, ids));
}

TEST(Transformer, Llama3AndLinearScaling) {
  ReferenceOptions options{.family = "llama"};
  options.hyper.rope_theta = 500000.f;
  options.hyper.rope_scaling.kind = pipeline::RopeScaling::Kind::kLlama3;
  options.hyper.rope_scaling.freq_factors = {1, 1, 1.5f, 2, 3, 5, 8, 8};
  const std::vector<int32_t> ids = RandomIds(20, 50);
  ReferenceModel model = ReferenceBuilder(options).Build();
  ExpectNear(RunAll(model, ids), ReferenceLogits(model, {{1, 1, 1.5, 2, 3, 5, 8, 8}}, ids));

  options.hyper.rope_scaling = {};
  options.hyper.rope_scaling.kind = pipeline::RopeScaling::Kind::kLinear;
  options.hyper.rope_scaling.factor = 4;
  model = ReferenceBuilder(options).Build();
  ExpectNear(RunAll(model, ids), ReferenceLogits(model, {std::vector<double>(8, 4.0)}, ids));
}

class EachKindOfLayer : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Transformer, EachKindOfLayer,
                         ::testing::Values("phi3", "qwen3moe", "phimoe", "gpt-oss"));

TEST_P(EachKindOfLayer, BatchesAndThreadsDoNotChangeABit) {
  for (DType dtype : kTypes) {
    ReferenceOptions options{.family = GetParam(), .dtype = dtype};
    // Wide enough that loops are worth a second thread.
    options.hyper.hidden = 256, options.hyper.intermediate = 512, options.hyper.head_dim = 64;
    options.hyper.rope_dims = 64, options.hyper.layers = 1, options.hyper.vocab = 300;
    const ReferenceModel model = ReferenceBuilder(options).Build();
    const std::vector<int32_t> ids = RandomIds(50, 300);
    const std::vector<float> one_by_one = RunAll(model, ids, 1, ChosenOps(), 1);
    for (int threads : {1, 2, 3}) {
      for (size_t cut : {7, 1000}) {
        const std::vector<float> other = RunAll(model, ids, threads, ChosenOps(), cut);
        ASSERT_EQ(other.size(), one_by_one.size());
        EXPECT_EQ(std::memcmp(other.data(), one_by_one.data(), other.size() * sizeof(float)), 0)
            << Info(dtype).name << ", " << threads << " threads, batches of " << cut;
      }
    }
  }
}

// Products of integers: the same bits whatever the threads, and nearly the logits of floats.
TEST(Transformer, IntegerProductsAreCloseToFloatsAndIndependentOfThreads) {
  for (const MatrixOps* matrix_ops : AllMatrixOps()) {
    for (DType dtype : kTypes) {
      SCOPED_TRACE(fmt::format("{} {}", matrix_ops->name, Info(dtype).name));
      ReferenceOptions options{.dtype = dtype};
      options.hyper.hidden = 256, options.hyper.intermediate = 512, options.hyper.head_dim = 64;
      options.hyper.rope_dims = 64, options.hyper.layers = 1, options.hyper.vocab = 300;
      const ReferenceModel model = ReferenceBuilder(options).Build();
      const std::vector<int32_t> ids = RandomIds(50, 300);
      const std::vector<float> floats = RunAll(model, ids);
      const std::vector<float> batch = RunAll(model, ids, 1, ChosenOps(), 1000, 64, matrix_ops);
      const std::vector<float> one_by_one = RunAll(model, ids, 1, ChosenOps(), 1, 64, matrix_ops);
      double distance = 0, between = 0, size = 0;
      for (size_t i = 0; i < floats.size(); ++i) {
        distance += std::pow(double{batch[i]} - floats[i], 2),
            size += std::pow(double{floats[i]}, 2);
        between += std::pow(double{batch[i]} - one_by_one[i], 2);
      }
      // Eight bits of activations cost about half a percent at each product, and the random model's
      // sharp attention makes several of it.
      EXPECT_LT(std::sqrt(distance / size), TakesIntegers(dtype) ? 0.06 : 1e-5);
      EXPECT_LT(std::sqrt(between / size), TakesIntegers(dtype) ? 0.01 : 1e-5);
      for (int threads : {2, 3}) {
        const std::vector<float> other =
            RunAll(model, ids, threads, ChosenOps(), 1000, 64, matrix_ops);
        EXPECT_EQ(std::memcmp(other.data(), batch.data(), other.size() * sizeof(float)), 0)
            << threads;
      }
    }
  }
}

// Attention in blocks: several of them in a pass, whole and short ones, behind passes of all
// lengths.
TEST(Transformer, LongPromptsAreCloseToTokenByToken) {
  for (const std::string_view family : {"phi3", "gemma2", "gpt-oss"}) {
    ReferenceOptions options{.family = family, .dtype = DType::kF32};
    options.hyper.layers = family == "phi3" ? 1 : 2, options.hyper.sliding_window = 50;
    const ReferenceModel model = ReferenceBuilder(options).Build();
    const std::vector<int32_t> ids = RandomIds(300, options.hyper.vocab);
    const std::vector<float> floats = RunAll(model, ids, 1, ChosenOps(), 1, 320);
    for (const MatrixOps* matrix_ops : AllMatrixOps()) {
      for (const size_t cut : {65, 130, 1000}) {
        SCOPED_TRACE(fmt::format("{}, {}, batches of {}", family, matrix_ops->name, cut));
        const std::vector<float> batches = RunAll(model, ids, 2, ChosenOps(), cut, 320, matrix_ops);
        ASSERT_EQ(batches.size(), floats.size());
        double distance = 0, size = 0;
        for (size_t i = 0; i < floats.size(); ++i)
          distance += std::pow(double{batches[i]} - floats[i], 2),
              size += std::pow(double{floats[i]}, 2);
        EXPECT_LT(std::sqrt(distance / size), 1e-5);
      }
    }
  }
}

TEST(Transformer, WantsAndReset) {
  const ReferenceModel model = ReferenceBuilder({}).Build();
  const std::vector<int32_t> ids = RandomIds(40, 50);
  const std::vector<float> all = RunAll(model, ids);
  ThreadPool pool(1);
  auto transformer =
      *Transformer::Create(model.description.hyper, *model.Map(ChosenOps()), 64, pool, ChosenOps());
  const auto cache = *KvCache::Create(model.description.hyper, DType::kF32, 64);
  std::vector<float> logits;
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(transformer->Run(*cache, ids, Want::kLast, logits).ok());
    EXPECT_EQ(logits, std::vector<float>(all.end() - 50, all.end()));
    cache->Reset();
  }
  ASSERT_TRUE(transformer->Run(*cache, std::span(ids).first(39), Want::kNothing, logits).ok());
  EXPECT_TRUE(logits.empty());
  ASSERT_TRUE(transformer->Run(*cache, std::span(ids).last(1), Want::kAll, logits).ok());
  EXPECT_EQ(logits, std::vector<float>(all.end() - 50, all.end()));
}

// Sequences of unlike lengths, one token each in a pass: the very bits that each would get alone,
// whatever the products are made with.
TEST_P(EachKindOfLayer, SequencesThatSharePassesGetWhatTheyGetAlone) {
  constexpr size_t kSequences = 7, kSteps = 5;
  std::vector<const MatrixOps*> sets = AllMatrixOps();
  sets.push_back(nullptr);
  for (DType dtype : kTypes) {
    for (const MatrixOps* matrix_ops : sets) {
      const DType kv_type = dtype == DType::kQ8_0 || dtype == DType::kF16 ? dtype : DType::kF32;
      SCOPED_TRACE(
          fmt::format("{} {}", Info(dtype).name, matrix_ops ? matrix_ops->name : "floats"));
      const ReferenceModel model = ReferenceBuilder({.family = GetParam(), .dtype = dtype}).Build();
      const auto& hyper = model.description.hyper;
      ThreadPool pool(2);
      auto transformer =
          *Transformer::Create(hyper, *model.Map(ChosenOps()), 64, pool, ChosenOps(), matrix_ops);
      const std::vector<int32_t> ids = RandomIds(200, hyper.vocab);
      std::vector<std::unique_ptr<KvCache>> caches;
      std::vector<std::vector<float>> alone(kSequences);
      std::vector<float> logits;
      for (size_t s = 0; s < kSequences; ++s) {
        const auto prompt = std::span(ids).subspan(s * 20, 1 + 2 * s);
        const auto own = *KvCache::Create(hyper, kv_type, 64);
        ASSERT_TRUE(transformer->Run(*own, prompt, Want::kNothing, logits).ok());
        for (size_t step = 0; step < kSteps; ++step) {
          ASSERT_TRUE(
              transformer->Run(*own, std::span(ids).subspan(150 + s + step, 1), Want::kLast, logits)
                  .ok());
          alone[s].insert(alone[s].end(), logits.begin(), logits.end());
        }
        caches.push_back(
            *KvCache::Create(hyper, kv_type, static_cast<int64_t>(prompt.size() + kSteps)));
        ASSERT_TRUE(transformer->Run(*caches[s], prompt, Want::kNothing, logits).ok());
      }
      const auto width = static_cast<size_t>(hyper.vocab);
      for (size_t step = 0; step < kSteps; ++step) {
        std::vector<Transformer::Next> next;
        for (size_t s = 0; s < kSequences; ++s)
          next.push_back({caches[s].get(), ids[150 + s + step]});
        ASSERT_TRUE(transformer->RunTogether(next, logits).ok());
        for (size_t s = 0; s < kSequences; ++s)
          EXPECT_EQ(std::memcmp(&logits[s * width], &alone[s][step * width], width * sizeof(float)),
                    0)
              << "sequence " << s << ", step " << step;
      }
      // All are full now, and stay as they are.
      const Transformer::Next full[] = {{caches[0].get(), 1}};
      EXPECT_EQ(transformer->RunTogether(full, logits).code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(caches[0]->length(), caches[0]->capacity());
    }
  }
}

// Of a family with windows, at lengths at which the short caches move their rows, each at another
// step; and a cache that was used before.
TEST(Transformer, SequencesWithShortCachesShareAPassToo) {
  constexpr size_t kSequences = 3, kSteps = 30;
  ReferenceOptions options{.family = "gemma3"};
  options.hyper.context = options.hyper.original_context = 256;
  const ReferenceModel model = ReferenceBuilder(options).Build();
  const auto& hyper = model.description.hyper;
  ThreadPool pool(2);
  auto transformer = *Transformer::Create(hyper, *model.Map(ChosenOps()), 256, pool, ChosenOps(),
                                          AllMatrixOps().back());
  const std::vector<int32_t> ids = RandomIds(256, hyper.vocab);
  std::vector<std::unique_ptr<KvCache>> caches;
  std::vector<std::vector<float>> alone(kSequences);
  std::vector<float> logits;
  for (size_t s = 0; s < kSequences; ++s) {
    const auto prompt = std::span(ids).first(110 + 10 * s);
    caches.push_back(*KvCache::Create(hyper, DType::kF16, 256));
    KvCache& cache = *caches.back();
    ASSERT_TRUE(transformer->Run(cache, prompt, Want::kNothing, logits).ok());
    for (size_t step = 0; step < kSteps; ++step) {
      ASSERT_TRUE(
          transformer->Run(cache, std::span(ids).subspan(s + step, 1), Want::kLast, logits).ok());
      alone[s].insert(alone[s].end(), logits.begin(), logits.end());
    }
    cache.Reset();
    ASSERT_TRUE(transformer->Run(cache, prompt, Want::kNothing, logits).ok());
  }
  const auto width = static_cast<size_t>(hyper.vocab);
  for (size_t step = 0; step < kSteps; ++step) {
    std::vector<Transformer::Next> next;
    for (size_t s = 0; s < kSequences; ++s) next.push_back({caches[s].get(), ids[s + step]});
    ASSERT_TRUE(transformer->RunTogether(next, logits).ok());
    for (size_t s = 0; s < kSequences; ++s)
      EXPECT_EQ(std::memcmp(&logits[s * width], &alone[s][step * width], width * sizeof(float)), 0)
          << "sequence " << s << ", step " << step;
  }
  // Layers 0 and 2 of 3 keep the window of 5 and a pass; the other one all.
  EXPECT_GT(caches[0]->First(0), 0);
  EXPECT_EQ(caches[0]->First(1), 0);
}

TEST(Transformer, RefusesWhatDoesNotFit) {
  const ReferenceModel model = ReferenceBuilder({}).Build();
  const pipeline::Hyperparameters& hyper = model.description.hyper;
  ThreadPool pool(1);
  auto transformer = *Transformer::Create(hyper, *model.Map(ChosenOps()), 8, pool, ChosenOps());
  const auto cache = *KvCache::Create(hyper, DType::kF16, 8);
  std::vector<float> logits;
  const auto code = [&](const std::vector<int32_t>& ids) {
    return transformer->Run(*cache, ids, Want::kLast, logits).code();
  };
  EXPECT_EQ(code(RandomIds(9, 50)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({50}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({-1}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(RandomIds(8, 50)), absl::StatusCode::kOk);
  EXPECT_EQ(KvCache::Create(hyper, DType::kF16, int64_t{1} << 60).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(KvCache::Create(hyper, DType::kBF16, 8).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// What a cache of fewer bits keeps is what it says, token by token and in blocks, whatever the
// threads.
TEST(Transformer, CachesOfFewerBitsAreCloseToFloats) {
  ReferenceOptions options{.dtype = DType::kF32};
  options.hyper.layers = 1, options.hyper.head_dim = 40, options.hyper.rope_dims = 40,
  options.hyper.context = 320;
  const ReferenceModel model = ReferenceBuilder(options).Build();
  const std::vector<int32_t> ids = RandomIds(300, options.hyper.vocab);
  const std::vector<float> floats = RunAll(model, ids, 1, ChosenOps(), 1000, 320);
  for (const auto& [kv_type, most] : {std::pair(DType::kF16, 2e-3), {DType::kQ8_0, 0.05}}) {
    for (const MatrixOps* matrix_ops :
         {static_cast<const MatrixOps*>(nullptr), AllMatrixOps().back()}) {
      const std::vector<float> one_by_one =
          RunAll(model, ids, 1, ChosenOps(), 1, 320, matrix_ops, kv_type);
      const std::vector<float> batches =
          RunAll(model, ids, 1, ChosenOps(), 1000, 320, matrix_ops, kv_type);
      const std::vector<float> threads =
          RunAll(model, ids, 3, ChosenOps(), 1000, 320, matrix_ops, kv_type);
      double distance = 0, between = 0, size = 0;
      for (size_t i = 0; i < floats.size(); ++i) {
        distance += std::pow(double{batches[i]} - floats[i], 2),
            size += std::pow(double{floats[i]}, 2);
        between += std::pow(double{batches[i]} - one_by_one[i], 2);
      }
      EXPECT_LT(std::sqrt(distance / size), most) << Info(kv_type).name;
      EXPECT_GT(distance, 0) << Info(kv_type).name;
      EXPECT_LT(std::sqrt(between / size), most / 2) << Info(kv_type).name;
      EXPECT_EQ(std::memcmp(batches.data(), threads.data(), batches.size() * sizeof(float)), 0)
          << Info(kv_type).name;
      if (matrix_ops != nullptr) continue;
      EXPECT_EQ(std::memcmp(batches.data(), one_by_one.data(), batches.size() * sizeof(float)), 0)
          << Info(kv_type).name;
    }
  }
}

// The pages of experts that nobody chooses cannot be read at all here.
TEST(Transformer, ReadsTheChosenExpertsAlone) {
  ReferenceModel model = ReferenceBuilder({.family = "qwen3moe"}).Build();
  const auto& hyper = model.description.hyper;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* room =
      mmap(nullptr, model.file.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(room, MAP_FAILED);
  const std::span file(static_cast<std::byte*>(room), model.file.size());
  std::ranges::copy(model.file, file.begin());
  size_t closed = 0;
  for (const pipeline::Piece& piece : model.description.pieces) {
    // Without scores all are equal, and the first ones are taken.
    const auto row_bytes = static_cast<size_t>(piece.cols) * sizeof(float);
    const size_t begin =
        model.offsets[piece.tensor] + static_cast<size_t>(piece.first_row) * row_bytes;
    if (piece.role == Role::kFfnRouter)
      std::ranges::fill(file.subspan(begin, static_cast<size_t>(piece.rows) * row_bytes),
                        std::byte{0});
    if (piece.expert != hyper.experts_used) continue;
    // From the first one that is not chosen to the last one, whole pages.
    const size_t bytes =
        static_cast<size_t>((hyper.experts - piece.expert) * piece.rows) * row_bytes;
    const size_t first = (begin + page - 1) / page * page, last = (begin + bytes) / page * page;
    ASSERT_LT(first, last);
    closed += last - first;
    ASSERT_EQ(mprotect(file.data() + first, last - first, PROT_NONE), 0);
  }
  EXPECT_GT(closed, file.size() / 4);
  for (const MatrixOps* matrix_ops : {&ChosenMatrixOps(), static_cast<const MatrixOps*>(nullptr)}) {
    ThreadPool pool(2);
    auto weights = MapWeights(
        model.description, file, [&](size_t t) { return model.offsets[t]; }, ChosenOps());
    ASSERT_TRUE(weights.ok()) << weights.status();
    auto transformer =
        *Transformer::Create(hyper, *std::move(weights), 64, pool, ChosenOps(), matrix_ops);
    const auto cache = *KvCache::Create(hyper, DType::kF32, 64);
    std::vector<float> logits;
    EXPECT_TRUE(transformer->Run(*cache, RandomIds(20, hyper.vocab), Want::kLast, logits).ok());
    EXPECT_TRUE(transformer->Run(*cache, RandomIds(1, hyper.vocab), Want::kLast, logits).ok());
    EXPECT_EQ(logits.size(), static_cast<size_t>(hyper.vocab));
  }
  munmap(room, file.size());
}

TEST(Weights, ReadByATokenAreThoseOfItsExperts) {
  const ReferenceModel model =
      ReferenceBuilder({.family = "qwen3moe", .dtype = DType::kF32}).Build();
  const auto& h = model.description.hyper;
  const int64_t attention = h.hidden * h.head_dim * (2 * h.heads + 2 * h.kv_heads);
  const int64_t experts = h.experts * h.hidden + h.experts_used * 3 * h.hidden * h.expert_width;
  EXPECT_EQ(BytesPerToken(*model.Map(ChosenOps()), h),
            4 * (h.layers * (attention + experts) + (h.vocab + 1) * h.hidden));
}

TEST(Weights, WhatLiesOutsideTheFileIsRefused) {
  ReferenceModel model = ReferenceBuilder({}).Build();
  model.file.pop_back();
  EXPECT_EQ(model.Map(ChosenOps()).status().code(), absl::StatusCode::kDataLoss);
  model.file.push_back({});
  ASSERT_TRUE(model.Map(ChosenOps()).ok());
  for (uint64_t offset : {uint64_t{1} << 40, ~uint64_t{0} - 8}) {
    ReferenceModel bad = model;
    bad.offsets[2] = offset;
    EXPECT_EQ(bad.Map(ChosenOps()).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(Weights, ContradictionsAreRefused) {
  const ReferenceModel model = ReferenceBuilder({.family = "llama"}).Build();
  ReferenceModel bad = model;
  bad.description.hyper.intermediate = 128;
  EXPECT_EQ(bad.Map(ChosenOps()).status().code(), absl::StatusCode::kInvalidArgument);
  bad = model;
  for (pipeline::Piece& piece : bad.description.pieces) {
    if (piece.role == Role::kAttnK && piece.layer == 1) piece.order = pipeline::RowOrder::kHf;
  }
  EXPECT_EQ(bad.Map(ChosenOps()).status().code(), absl::StatusCode::kInvalidArgument);
  bad = model;
  std::erase_if(bad.description.pieces,
                [](const auto& piece) { return piece.role == Role::kFfnDown; });
  EXPECT_EQ(bad.Map(ChosenOps()).status().code(), absl::StatusCode::kInvalidArgument);
  bad = model;
  bad.description.tensors[0].dtype = DType::kQ6_K;  // whose blocks are longer than these rows
  EXPECT_EQ(bad.Map(ChosenOps()).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace quantfleet::engine
