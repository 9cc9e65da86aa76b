#include "pipeline/stage/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <limits>
#include <mutex>

#include "pipeline/family/family.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/exact_copy.h"
#include "pipeline/stage/slab_worker.h"
#include "tests/pipeline/stage/stage_fixture.h"
#include "tests/support/split_gguf.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_name.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::SplitGguf;
using ::quantfleet::testing::TempDir;
using ::quantfleet::testing::TinyModelOptions;
using ::quantfleet::testing::WriteFile;
using ::quantfleet::testing::WriteTinyModel;
using ::testing::HasSubstr;

std::vector<std::string> DigestsOf(const ExecutorResult& result) {
  std::vector<std::string> out;
  for (const v1::Manifest& m : result.manifests) out.push_back(ManifestDigest(m).hex());
  return out;
}

// A tiny model of a family, opened, with the plan of all recipes.
class TinyTest : public ::testing::TestWithParam<const Family*> {
 protected:
  void SetUp() override {
    // Rows of 172, which no block divides, and a source that is fused (phi3), permuted (llama) or
    // has biases (qwen2).
    WriteTinyModel(dir_.path(), GetParam()->name, {.intermediate = 172, .layers = 2});
    auto source = OpenModel(RealFileSystem(), dir_.path());
    ASSERT_OK(source);
    source_ = std::move(*source);
    auto plan = MakePlan(*source_, AllRecipes());
    ASSERT_OK(plan);
    plan_ = std::move(*plan);
  }
  absl::StatusOr<ExecutorResult> RunPlan(const Plan& plan, ExecutorOptions options = {}) {
    sink_ = std::make_unique<MemorySink>(plan);
    return Execute(*source_, plan, *sink_, options);
  }

  TempDir dir_;
  std::unique_ptr<ModelSource> source_;
  Plan plan_;
  std::unique_ptr<MemorySink> sink_;
};

TEST_P(TinyTest, FilesAreWhatTheNaiveWayMakes) {
  ASSERT_OK(RunPlan(plan_));
  for (size_t t = 0; t < plan_.targets.size(); ++t)
    for (uint32_t f = 0; f < plan_.targets[t].layout.files.size(); ++f)
      EXPECT_TRUE(sink_->File(t, f) == NaiveFile(*source_, plan_.targets[t].layout, f))
          << plan_.targets[t].spec.name() << " " << plan_.targets[t].layout.files[f].path;
}

// Each piece's columns are weighed with its own importance, permuted rows or not, and the manifest
// says by which file.
TEST_P(TinyTest, ImportanceReachesTheColumnsThatItIsOf) {
  Importance importance{.digest = HashText("a file"), .columns = {}};
  for (const Piece& piece : source_->description().pieces) {
    std::vector<float>& columns = importance.columns.emplace_back();
    if (piece.dims == 1 || piece.role == Role::kAttnOutput) continue;  // a file need not name all
    for (int64_t c = 0; c < piece.cols; ++c)
      columns.push_back(static_cast<float>((c * 37 + static_cast<int64_t>(piece.role) * 11) % 101));
  }
  const std::vector<TargetSpec> plain = {{"gguf", "q4_0"}, {"gguf", "q8_0"}, {"gguf", "q5_1"}};
  std::vector<TargetSpec> weighed = plain;
  for (TargetSpec& spec : weighed) spec.calibrated = true;
  const auto plan =
      MakePlan(*source_, weighed, {.importance = std::make_shared<const Importance>(importance)});
  ASSERT_OK(plan);
  const auto result = RunPlan(*plan, {.threads = 3});
  ASSERT_OK(result);
  for (size_t t = 0; t < plan->targets.size(); ++t) {
    const TargetLayout& layout = plan->targets[t].layout;
    const uint32_t file = layout.pieces.front().file;
    EXPECT_EQ(sink_->File(t, file), NaiveFile(*source_, layout, file, importance));
    EXPECT_EQ(sink_->File(t, file) == NaiveFile(*source_, layout, file),
              plan->targets[t].spec.recipe == "q8_0");
    EXPECT_EQ(result->manifests[t].target().importance_digest(), HashText("a file").raw());
    EXPECT_OK(ParseManifest(SerializeManifest(result->manifests[t])));
  }
  EXPECT_NE(PlanDigest(*plan), PlanDigest(*MakePlan(*source_, plain)));
}

TEST_P(TinyTest, OnePassForAllEqualsOneByOne) {
  const auto together = RunPlan(plan_);
  ASSERT_OK(together);
  const std::vector<std::string> digests = DigestsOf(*together);
  for (size_t t = 0; t < digests.size(); ++t) {
    const auto plan = MakePlan(*source_, {plan_.targets[t].spec});
    ASSERT_OK(plan);
    const auto alone = RunPlan(*plan);
    ASSERT_OK(alone);
    EXPECT_EQ(DigestsOf(*alone).front(), digests[t]);
  }
}

TEST_P(TinyTest, ThreadsAndMemoryChangeNothing) {
  const auto first = RunPlan(plan_, {.threads = 1});
  ASSERT_OK(first);
  for (const int threads : {2, 7}) {
    const auto again = RunPlan(plan_, {.threads = threads, .memory_bytes = uint64_t{3} << 20});
    ASSERT_OK(again);
    EXPECT_EQ(DigestsOf(*again), DigestsOf(*first));
  }
}

TEST_P(TinyTest, EachSourceByteIsReadOnce) {
  CountingSource counting(*source_);
  MemorySink sink(plan_);
  ASSERT_OK(Execute(counting, plan_, sink, {.threads = 3}));
  EXPECT_EQ(counting.bytes(), plan_.source_bytes);
  EXPECT_TRUE(counting.ReadOnce());
}

TEST_P(TinyTest, ManifestsSayWhatWasMade) {
  const auto result = RunPlan(plan_);
  ASSERT_OK(result);
  for (size_t t = 0; t < plan_.targets.size(); ++t) {
    const v1::Manifest& m = result->manifests[t];
    EXPECT_OK(ParseManifest(SerializeManifest(m)));
    EXPECT_EQ(m.target().recipe(), kRecipes[t]);
    EXPECT_EQ(m.target().changes_size(), 0);
    EXPECT_EQ(m.target().importance_digest(), "");
    EXPECT_EQ(m.source().architecture(), GetParam()->name);
    EXPECT_EQ(m.source().parameters(), static_cast<uint64_t>(source_->description().Parameters()));
    EXPECT_EQ(m.source().digest(), result->manifests[0].source().digest());
    EXPECT_EQ(m.requirements().memory().SerializeAsString(),
              plan_.targets[t].layout.memory.SerializeAsString());
    for (int f = 0; f < m.files_size(); ++f) {
      uint64_t at = 0;
      for (const v1::Chunk& chunk : m.files(f).chunks()) {
        const ByteSpan bytes =
            ByteSpan(sink_->File(t, static_cast<size_t>(f))).subspan(at, chunk.size());
        EXPECT_EQ(HashBytes(bytes).raw(), chunk.digest());
        at += chunk.size();
      }
    }
  }
}

// The F32 GGUF that we make is a source too: where its rows are permuted already, nothing permutes
// them again.
TEST_P(TinyTest, ASourceHasItsDigestWithoutTargets) {
  const auto result = RunPlan(plan_);
  ASSERT_OK(result);
  const auto digest = SourceDigestOf(*source_, {.threads = 2});
  ASSERT_OK(digest);
  EXPECT_EQ(digest->raw(), result->manifests[0].source().digest());
}

TEST_P(TinyTest, AnExactCopyHasTheSourcesValuesAndItsDigest) {
  TempDir out;
  const auto copy = WriteExactCopy(RealFileSystem(), *source_, out.path(), {});
  ASSERT_OK(copy);
  EXPECT_EQ(copy->source_digest, *SourceDigestOf(*source_, {}));
  const auto copied = OpenModel(RealFileSystem(), copy->file);
  ASSERT_OK(copied);
  // A router, norms and biases are F32.
  for (const SourceTensor& tensor : (*copied)->description().tensors)
    EXPECT_TRUE(tensor.dtype == DType::kBF16 || tensor.dtype == DType::kF32) << tensor.name;
  EXPECT_EQ(copy->file.parent_path().filename(), "gguf-bf16");
}

TEST_P(TinyTest, AGgufSourceGivesTheSameWeights) {
  ASSERT_OK(RunPlan(plan_));
  const fs::path file = dir_ / "f32.gguf";
  ASSERT_OK(RealFileSystem().WriteAtomically(
      file, sink_->File(0, plan_.targets[0].layout.pieces[0].file)));
  const auto source = OpenModel(RealFileSystem(), file);
  ASSERT_OK(source);
  const auto plan = MakePlan(**source, AllRecipes());
  ASSERT_OK(plan);
  MemorySink sink(*plan);
  ASSERT_OK(Execute(**source, *plan, sink, {}));
  for (size_t t = 0; t < plan->targets.size(); ++t) {
    const TargetLayout& one = plan_.targets[t].layout;
    const TargetLayout& other = plan->targets[t].layout;
    ASSERT_EQ(one.pieces.size(), other.pieces.size());
    for (size_t i = 0; i < one.pieces.size(); ++i) {
      const Piece& piece = source_->description().pieces[one.pieces[i].piece];
      const auto size = static_cast<size_t>(piece.rows * RowBytes(one.pieces[i].dtype, piece.cols));
      EXPECT_EQ(
          HashBytes(
              ByteSpan(sink_->File(t, one.pieces[i].file)).subspan(one.pieces[i].offset, size)),
          HashBytes(
              ByteSpan(sink.File(t, other.pieces[i].file)).subspan(other.pieces[i].offset, size)))
          << plan->targets[t].spec.name() << " " << one.pieces[i].tensor;
    }
  }
}

// A Q8_0 GGUF is decoded through its codec and encoded anew; as Q8_0 it is copied.
TEST_P(TinyTest, AQ8GgufIsDecodedThenEncoded) {
  ASSERT_OK(RunPlan(plan_));
  const size_t q8 =
      static_cast<size_t>(std::ranges::find(kRecipes, std::string_view("q8_0")) - kRecipes);
  const fs::path file = dir_ / "q8_0.gguf";
  const ByteSpan stored = sink_->File(q8, plan_.targets[q8].layout.pieces[0].file);
  ASSERT_OK(RealFileSystem().WriteAtomically(file, stored));
  const auto source = OpenModel(RealFileSystem(), file);
  ASSERT_OK(source);
  const auto plan = MakePlan(**source, AllRecipes());
  ASSERT_OK(plan);
  MemorySink sink(*plan);
  CountingSource counting(**source);
  ASSERT_OK(Execute(counting, *plan, sink, {.threads = 2}));
  EXPECT_TRUE(counting.ReadOnce());
  for (size_t t = 0; t < plan->targets.size(); ++t) {
    for (size_t i = 0; i < plan->targets[t].layout.pieces.size(); ++i) {
      const PlacedPiece& made = plan->targets[t].layout.pieces[i];
      const PlacedPiece& from = plan_.targets[q8].layout.pieces[i];
      const Piece& piece = source_->description().pieces[from.piece];
      ASSERT_EQ(made.tensor, from.tensor);
      std::vector<float> values(static_cast<size_t>(piece.rows * piece.cols));
      FindCodec(from.dtype)->decode(stored.data() + from.offset, std::ssize(values), values.data());
      Bytes want(static_cast<size_t>(piece.rows * RowBytes(made.dtype, piece.cols)));
      FindCodec(made.dtype)->encode(values.data(), piece.rows, piece.cols, nullptr, want.data());
      const ByteSpan got = ByteSpan(sink.File(t, made.file)).subspan(made.offset, want.size());
      EXPECT_TRUE(std::ranges::equal(got, want))
          << plan->targets[t].spec.name() << " " << made.tensor;
      if (t == q8) {
        EXPECT_TRUE(std::ranges::equal(got, stored.subspan(from.offset, want.size())))
            << made.tensor;
      }
    }
  }
}

// What others made of the model, with its own keys, bytes between tensors and a tail, whose chunks
// are cut as any other file's.
TEST_P(TinyTest, AsIsIsTheGgufItself) {
  ASSERT_OK(RunPlan(plan_));
  const size_t q4 =
      static_cast<size_t>(std::ranges::find(kRecipes, std::string_view("q4_0")) - kRecipes);
  const TargetLayout& made = plan_.targets[q4].layout;
  const uint32_t of_model = made.pieces[0].file;
  std::string stored(AsText(sink_->File(q4, of_model)));
  const auto padded =
      std::ranges::find_if(made.pieces, [](const PlacedPiece& p) { return p.padding > 0; });
  if (padded != made.pieces.end()) {  // where the family has tensors that are no multiple of 32
    const Piece& before = source_->description().pieces[padded->piece];
    stored[padded->offset + static_cast<size_t>(before.rows * RowBytes(*padded, before.cols))] =
        'x';
  }
  stored += "a tail";
  const fs::path file = dir_ / "stored.gguf";
  ASSERT_OK(RealFileSystem().WriteAtomically(file, AsBytes(stored)));
  const auto source = OpenModel(RealFileSystem(), file);
  ASSERT_OK(source);
  const auto plan = MakePlan(**source, {{"gguf", "as-is"}, {"gguf", "q8_0"}});
  ASSERT_OK(plan);
  MemorySink sink(*plan);
  const auto result = Execute(**source, *plan, sink, {.threads = 2});
  ASSERT_OK(result);
  EXPECT_EQ(plan->targets[0].layout.files[0].path, "model.gguf");
  EXPECT_EQ(AsText(sink.File(0, 0)), stored);
  EXPECT_EQ(result->manifests[0].target().recipe(), "as-is");
  EXPECT_EQ(plan->targets[0].layout.memory.weights_bytes(), stored.size());
  // A weight is the same chunks in both files that hold it in the same type.
  const auto chunks_of = [](const v1::ArtifactFile& model) {
    std::set<std::string> digests;
    for (const v1::Chunk& chunk : model.chunks()) digests.insert(chunk.digest());
    return digests;
  };
  const auto again = Execute(*source_, plan_, *sink_, {});
  ASSERT_OK(again);
  const std::set<std::string> as_is = chunks_of(result->manifests[0].files(0)),
                              direct =
                                  chunks_of(again->manifests[q4].files(static_cast<int>(of_model)));
  size_t shared = 0;
  for (const std::string& digest : as_is) shared += direct.count(digest);
  EXPECT_GE(shared + 3, direct.size()) << "all but the header, the bent padding and the tail";
}

TEST_P(TinyTest, ASplitGgufIsTheModelThatWasSplit) {
  ASSERT_OK(RunPlan(plan_));
  const size_t q8 =
      static_cast<size_t>(std::ranges::find(kRecipes, std::string_view("q8_0")) - kRecipes);
  const std::string whole(AsText(sink_->File(q8, plan_.targets[q8].layout.pieces[0].file)));
  const fs::path alone = dir_ / "whole.gguf", folder = dir_ / "split";
  WriteFile(alone, whole);
  fs::create_directory(folder);
  const std::vector<std::string> shards = SplitGguf(whole, 3);
  const auto name = [&](int shard) {
    return folder / fmt::format("m-{:05}-of-00003.gguf", shard + 1);
  };
  for (int i = 0; i < 3; ++i) WriteFile(name(i), shards[static_cast<size_t>(i)]);
  const auto one = OpenModel(RealFileSystem(), alone);
  ASSERT_OK(one);
  const std::vector<TargetSpec> targets{{"gguf", "as-is"}, {"gguf", "q4_0"}};
  const auto straight = MakePlan(**one, targets);
  ASSERT_OK(straight);
  MemorySink of_one(*straight);
  const auto want = Execute(**one, *straight, of_one, {});
  ASSERT_OK(want);
  for (const fs::path& path : {folder, name(0), name(2)}) {
    const auto source = OpenModel(RealFileSystem(), path);
    ASSERT_OK(source);
    const auto plan = MakePlan(**source, targets);
    ASSERT_OK(plan);
    MemorySink sink(*plan);
    const auto result = Execute(**source, *plan, sink, {});
    ASSERT_OK(result);
    EXPECT_EQ(AsText(sink.File(0, 0)), whole) << path;
    EXPECT_EQ(DigestsOf(*result), DigestsOf(*want)) << path;
  }
}

TEST_P(TinyTest, ABlockWithoutANumberIsNamedWithItsFile) {
  ASSERT_OK(RunPlan(plan_));
  const size_t q8 =
      static_cast<size_t>(std::ranges::find(kRecipes, std::string_view("q8_0")) - kRecipes);
  std::string stored(AsText(sink_->File(q8, plan_.targets[q8].layout.pieces[0].file)));
  const auto placed =
      std::ranges::find(plan_.targets[q8].layout.pieces, DType::kQ8_0, &PlacedPiece::dtype);
  stored.replace(placed->offset, 2, "\xff\x7f");  // a scale that is NaN
  WriteFile(dir_ / "bad.gguf", stored);
  const auto source = OpenModel(RealFileSystem(), dir_ / "bad.gguf");
  ASSERT_OK(source);
  for (const char* recipe : {"as-is", "q4_0"}) {
    const auto plan = MakePlan(**source, {{"gguf", recipe}});
    ASSERT_OK(plan);
    MemorySink sink(*plan);
    EXPECT_ERROR(Execute(**source, *plan, sink, {}), kInvalidArgument, "bad.gguf", placed->tensor,
                 "nan");
  }
}

TEST_P(TinyTest, ResumeReadsOnlyWhatIsNotRecorded) {
  MemoryJournal journal;
  const auto whole = RunPlan(plan_, {.threads = 1, .journal = &journal});
  ASSERT_OK(whole);
  ASSERT_EQ(journal.records.size(), plan_.slabs.size());
  uint64_t missing = 0;
  for (size_t slab = 0; slab < plan_.slabs.size(); slab += 3) {
    journal.records.erase(slab);
    const Slab& s = plan_.slabs[slab];
    const Piece& piece = source_->description().pieces[s.piece];
    missing += static_cast<uint64_t>(s.rows) *
               static_cast<uint64_t>(piece.dims == 1 ? 1 : piece.cols) * 2;  // BF16
  }
  const size_t recorded = journal.records.size();
  CountingSource counting(*source_);
  MemorySink sink(plan_);
  const auto resumed = Execute(counting, plan_, sink, {.threads = 2, .journal = &journal});
  ASSERT_OK(resumed);
  EXPECT_EQ(DigestsOf(*resumed), DigestsOf(*whole));
  EXPECT_EQ(resumed->progress.slabs_resumed, recorded);
  EXPECT_EQ(resumed->progress.slabs_done, plan_.slabs.size());
  EXPECT_EQ(resumed->progress.bytes_read, plan_.source_bytes);
  EXPECT_EQ(resumed->progress.bytes_resumed, plan_.source_bytes - missing)
      << "what an earlier run did is no speed of this one";
  EXPECT_EQ(counting.bytes(), missing);
}

TEST_P(TinyTest, ARecordOfAnotherPlanIsRefused) {
  MemoryJournal journal;
  const auto small = MakePlan(*source_, {{"gguf", "q4_0"}});
  ASSERT_OK(small);
  ASSERT_OK(RunPlan(*small, {.journal = &journal}));
  EXPECT_ERROR(RunPlan(plan_, {.journal = &journal}), kFailedPrecondition, "plan");
}

INSTANTIATE_TEST_SUITE_P(All, TinyTest, ::testing::ValuesIn(Decoders()), [](const auto& test) {
  return ::quantfleet::testing::TestName(test.param->name);
});

// Pieces of many slabs, reads, strips and chunks, permuted for one target and straight for the
// other.
TEST(Executor, ManySlabsOfHeadsOfOddSizeEqualTheNaiveWay) {
  MemorySource source;
  source.model.hyper.head_dim = 6;
  source.Add(Role::kAttnQ, DType::kBF16, 120, 65536);
  source.Add(Role::kAttnQBias, DType::kF32, 1, 120, 1);
  source.Add(Role::kFfnDown, DType::kF16, 33, 65536);
  const auto plan = PlanFromLayouts(
      source.model, {SimpleTarget(source.model, "a", DType::kQ8_0, RowOrder::kInterleaved),
                     SimpleTarget(source.model, "b", DType::kBF16, RowOrder::kHf),
                     SimpleTarget(source.model, "c", DType::kF32, RowOrder::kInterleaved)});
  ASSERT_OK(plan);
  ASSERT_EQ(plan->slabs.size(), 5u);
  EXPECT_EQ(plan->slabs[0].rows, 96);  // chunks of 32 Q8_0 rows, heads of 6
  CountingSource counting(source);
  MemorySink sink(*plan);
  ASSERT_OK(Execute(counting, *plan, sink, {.threads = 2}));
  for (size_t t = 0; t < 3; ++t)
    EXPECT_TRUE(sink.File(t, 0) == NaiveFile(source, plan->targets[t].layout, 0)) << t;
  EXPECT_TRUE(counting.ReadOnce());
  EXPECT_EQ(counting.bytes(), plan->source_bytes);
}

// Types that are only read among them: blocks of any bits whose scales are finite.
TEST(Executor, EveryTypeOfGgmlIsASource) {
  for (const DTypeInfo& info : kDTypes) {
    if (!info.ggml) continue;
    MemorySource source;
    source.Declare(Role::kFfnUp, info.type, 5, 512);
    Bytes& data = source.data[0];
    data.resize(static_cast<size_t>(5 * RowBytes(info.type, 512)));
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 % 48);
    std::vector<float> values(5 * 512);
    FindCodec(info.type)->decode(data.data(), std::ssize(values), values.data());
    const auto plan = PlanFromLayouts(
        source.model, {SimpleTarget(source.model, "f", DType::kF32, RowOrder::kHf, 0),
                       SimpleTarget(source.model, "q", DType::kQ8_0, RowOrder::kHf, 0),
                       SimpleTarget(source.model, "same", info.type, RowOrder::kHf, 0)});
    ASSERT_OK(plan);
    MemorySink sink(*plan);
    ASSERT_OK(Execute(source, *plan, sink, {}));
    EXPECT_EQ(std::memcmp(sink.File(0, 0).data(), values.data(), 4 * values.size()), 0)
        << info.name;
    Bytes want(static_cast<size_t>(5 * RowBytes(DType::kQ8_0, 512)));
    FindCodec(DType::kQ8_0)->encode(values.data(), 5, 512, nullptr, want.data());
    if (info.type == DType::kQ8_0) want = data;
    EXPECT_TRUE(std::equal(want.begin(), want.end(), sink.File(1, 0).begin())) << info.name;
    EXPECT_TRUE(std::equal(data.begin(), data.end(), sink.File(2, 0).begin())) << info.name;
  }
}

TEST(Executor, EqualFloatTypesAreCopiedBitForBit) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    MemorySource source;
    source.Add(Role::kFfnUp, dtype, 3, 64);
    const size_t width = static_cast<size_t>(RowBytes(dtype, 1));
    // Negative zero and the smallest subnormal.
    source.data[0][width - 1] = std::byte{0x80};
    std::fill_n(source.data[0].begin(), width - 1, std::byte{0});
    std::fill_n(source.data[0].begin() + static_cast<ptrdiff_t>(width), width, std::byte{0});
    source.data[0][width] = std::byte{1};
    const auto plan = PlanFromLayouts(
        source.model, {SimpleTarget(source.model, "same", dtype, RowOrder::kHf, 0)});
    ASSERT_OK(plan);
    MemorySink sink(*plan);
    ASSERT_OK(Execute(source, *plan, sink, {}));
    EXPECT_TRUE(std::equal(source.data[0].begin(), source.data[0].end(), sink.File(0, 0).begin()));
  }
}

// Of one type, files that keep a norm as w and files that keep w + 1, from a source of either kind.
TEST(Executor, ValuesMayLackWhatAFormatLeavesOut) {
  for (const float in_source : {0.f, 1.f}) {
    MemorySource source;
    source.Add(Role::kAttnNorm, DType::kF32, 1, 64, 1);
    source.model.pieces[0].lacks = in_source;
    auto lacking = SimpleTarget(source.model, "lacking", DType::kF32, RowOrder::kHf);
    for (PlacedPiece& placed : lacking.second.pieces) placed.lacks = 1;
    const auto plan = PlanFromLayouts(
        source.model, {SimpleTarget(source.model, "whole", DType::kF32, RowOrder::kHf), lacking});
    ASSERT_OK(plan);
    MemorySink sink(*plan);
    ASSERT_OK(Execute(source, *plan, sink, {}));
    for (size_t t = 0; t < 2; ++t)
      EXPECT_TRUE(sink.File(t, 0) == NaiveFile(source, plan->targets[t].layout, 0)) << t;
    const auto at = [&](size_t target, int i) {
      return quantfleet::Load<float>(sink.File(target, 0).data() +
                                     plan->targets[target].layout.pieces[0].offset + 4 * i);
    };
    for (const int i : {0, 1, 63}) {
      EXPECT_FLOAT_EQ(at(0, i), at(1, i) + 1);
      EXPECT_EQ(at(in_source == 0 ? 0 : 1, i),
                quantfleet::Load<float>(source.data[0].data() + 4 * i));
    }
  }
}

class SmallSource : public ::testing::Test {
 protected:
  SmallSource() {
    source_.Add(Role::kAttnNorm, DType::kF32, 1, 64, 1);
    source_.Add(Role::kAttnQ, DType::kF32, 30, 64);
    source_.model.pieces[1].rows = 10;
    source_.AddPiece(Role::kAttnK, 10, 64, 2, 1, 10);
    source_.AddPiece(Role::kAttnV, 10, 64, 2, 1, 20);
  }
  void Put(size_t tensor, int64_t element, float value) {
    quantfleet::Store(source_.data[tensor].data() + element * 4, value);
  }
  absl::Status RunTo(DType dtype, ExecutorOptions options = {}) {
    auto plan =
        PlanFromLayouts(source_.model, {SimpleTarget(source_.model, "x", dtype, RowOrder::kHf)});
    if (!plan.ok()) return plan.status();
    MemorySink sink(*plan);
    sink.on_store = on_store_;
    CountingSource counting(source_);
    counting.on_read = on_read_;
    const absl::Status status = Execute(counting, *plan, sink, options).status();
    stores_ = sink.stores();
    return status;
  }

  MemorySource source_;
  std::function<absl::Status(size_t)> on_read_;
  std::function<absl::Status(size_t, const PlannedChunk&)> on_store_;
  size_t stores_ = 0;
};

TEST_F(SmallSource, WhatIsNotANumberIsNamed) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    for (const DType dtype : {DType::kF32, DType::kQ8_0}) {
      const float good = Load<float>(source_.data[1].data() + (23 * 64 + 5) * 4);
      Put(1, 23 * 64 + 5, bad);
      const absl::Status status = RunTo(dtype);
      EXPECT_ERROR(status, kInvalidArgument, "'attn_q.src'");
      EXPECT_THAT(Message(status), HasSubstr("row 23, column 5"));  // of the fused source tensor
      EXPECT_THAT(Message(status), HasSubstr("download"));
      Put(1, 23 * 64 + 5, good);
    }
  }
  Put(0, 7, std::numeric_limits<float>::infinity());
  EXPECT_ERROR(RunTo(DType::kQ4_0), kInvalidArgument, "'attn_norm.src'", "inf", "element 7");
}

TEST_F(SmallSource, WhatATypeCannotHoldIsNamed) {
  Put(1, 12 * 64 + 3, 70000.f);
  EXPECT_ERROR(RunTo(DType::kF16), kInvalidArgument, "f16", "row 12, column 3");
  EXPECT_OK(RunTo(DType::kQ8_0));  // its scale holds it
  EXPECT_OK(RunTo(DType::kBF16));
  Put(1, 12 * 64 + 3, 1e30f);
  EXPECT_ERROR(RunTo(DType::kQ8_0), kInvalidArgument, "q8_0", "row 12, column 0");
  EXPECT_ERROR(RunTo(DType::kQ4_0), kInvalidArgument, "simple-x", "--tensor-type role:attn_k=f32");
  EXPECT_OK(RunTo(DType::kF32));
}

TEST_F(SmallSource, AReadErrorEndsIt) {
  on_read_ = [](size_t tensor) { return tensor == 1 ? DataLoss("cut") : absl::OkStatus(); };
  EXPECT_ERROR(RunTo(DType::kF32, {.threads = 2}), kDataLoss, "'attn_q.src'", "cut");
}

TEST_F(SmallSource, AStoreErrorEndsIt) {
  on_store_ = [](size_t, const PlannedChunk& chunk) -> absl::Status {
    if (chunk.piece == 2) return ResourceExhausted("disk full");
    return absl::OkStatus();
  };
  EXPECT_ERROR(RunTo(DType::kF32, {.threads = 1}), kResourceExhausted, "disk full");
  EXPECT_EQ(stores_, 3u);  // header, attn_norm, attn_q; attn_v is not begun
}

TEST_F(SmallSource, AnExceptionInAWorkerIsAnError) {
  on_store_ = [](size_t, const PlannedChunk& chunk) -> absl::Status {
    if (chunk.piece >= 0) throw std::runtime_error("boom");
    return absl::OkStatus();
  };
  EXPECT_ERROR(RunTo(DType::kF32, {.threads = 2}), kInternal, "boom");
}

TEST_F(SmallSource, AStopIsObeyed) {
  std::stop_source stop;
  on_store_ = [&](size_t, const PlannedChunk& chunk) {
    if (chunk.piece == 1) stop.request_stop();
    return absl::OkStatus();
  };
  EXPECT_ERROR(RunTo(DType::kF32, {.threads = 1, .stop = stop.get_token()}), kCancelled, "stopped");
  EXPECT_EQ(stores_, 3u);
  EXPECT_ERROR(RunTo(DType::kF32, {.stop = stop.get_token()}), kCancelled, "stopped");
  EXPECT_EQ(stores_, 0u);
}

TEST_F(SmallSource, ProgressComesOneByOneAndEndsWhole) {
  std::vector<Progress> seen;
  Gauge gauge;
  ASSERT_OK(RunTo(DType::kF32, {.threads = 4, .on_progress = [&](const Progress& p) {
                                  const Gauge::Inside inside(gauge);
                                  seen.push_back(p);
                                }}));
  EXPECT_EQ(gauge.most(), 1);
  ASSERT_EQ(seen.size(), 4u);
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i].slabs_done, i + 1);
  EXPECT_EQ(seen.back().bytes_read, seen.back().bytes_total);
  EXPECT_EQ(seen.back().bytes_total, uint64_t{(30 * 64 + 64) * 4});
  EXPECT_EQ(seen.back().bytes_written,
            100u + (28 + 30 * 64 * 4 + 64 * 4));  // padding after the header's 100
}

// The first `wanted` who arrive go on together; who comes too late or too many still passes.
class Meeting {
 public:
  explicit Meeting(int wanted) : wanted_(wanted) {}
  absl::Status Arrive() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    all_.notify_all();
    if (!all_.wait_for(lock, std::chrono::seconds(60), [&] { return arrived_ >= wanted_; }))
      return DeadlineExceeded("fewer workers than the budget allows");
    return absl::OkStatus();
  }

 private:
  const int wanted_;
  int arrived_ = 0;
  std::mutex mutex_;
  std::condition_variable all_;
};

TEST(ExecutorMemory, TheBudgetBoundsHowManyWork) {
  MemorySource source;
  for (int i = 0; i < 12; ++i) source.Add(Role::kFfnUp, DType::kBF16, 64, 1024);
  const auto plan = PlanFromLayouts(
      source.model, {SimpleTarget(source.model, "a", DType::kF32, RowOrder::kHf, 96),
                     SimpleTarget(source.model, "b", DType::kQ8_0, RowOrder::kHf, 96)});
  ASSERT_OK(plan);
  // 128 KiB read, 256 KiB of F32 in a strip, the same strip as Q8_0 in 68 KiB, chunks of 256 KiB
  // and 68 KiB.
  const uint64_t each = (128 + 256 + 68 + 256 + 68) << 10;
  const auto jobs = JobsOf(source.model, *plan);
  ASSERT_OK(jobs);
  EXPECT_EQ(BuffersFor(*plan, *jobs).total(), each);
  for (const int workers : {1, 2, 3}) {
    CountingSource counting(source);
    Meeting meeting(workers);
    counting.on_read = [&](size_t) { return meeting.Arrive(); };
    MemorySink sink(*plan);
    const uint64_t budget = static_cast<uint64_t>(workers) * each + each - 1;
    ASSERT_OK(Execute(counting, *plan, sink, {.threads = 8, .memory_bytes = budget}));
    EXPECT_EQ(counting.gauge.most(), workers);
    EXPECT_LE(sink.gauge.most(), workers);
  }
  MemorySink sink(*plan);
  EXPECT_ERROR(Execute(source, *plan, sink, {.memory_bytes = each - 1}), kInvalidArgument,
               "776.0 KiB");
}

}  // namespace
}  // namespace quantfleet::pipeline
