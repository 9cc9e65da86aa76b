#include "pipeline/stage/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/family/family.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/geometry.h"
#include "pipeline/stage/plan_text.h"
#include "pipeline/tensor/distortion.h"
#include "tests/pipeline/stage/stage_fixture.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::TempDir;
using ::quantfleet::testing::TinyModelOptions;
using ::quantfleet::testing::WriteTinyModel;
using ::testing::HasSubstr;
using testing::Names;

constexpr int64_t kMiB = 1 << 20;

// The promises of docs/formats/artifact.md, for any plan.
void ExpectSound(const ModelDescription& model, const Plan& plan) {
  for (const TargetPlan& target : plan.targets) {
    std::vector<uint64_t> at(target.layout.files.size());
    uint32_t file = 0;
    for (const PlannedChunk& chunk : target.chunks) {
      ASSERT_GE(chunk.file, file);
      file = chunk.file;
      ASSERT_EQ(chunk.offset, at[file]);
      ASSERT_GT(chunk.size, 0u);
      ASSERT_LE(chunk.size, kMaxChunkBytes);
      at[file] += chunk.size;
      if (chunk.piece < 0) continue;
      const int64_t rows = ShapeOf(model.pieces[static_cast<size_t>(chunk.piece)]).rows;
      const bool last = chunk.first_row + chunk.rows == rows;
      EXPECT_TRUE(last || std::has_single_bit(static_cast<uint64_t>(chunk.rows)));
      int holders = 0;
      for (const Slab& slab : plan.slabs)
        holders += static_cast<int32_t>(slab.piece) == chunk.piece &&
                   slab.first_row <= chunk.first_row &&
                   chunk.first_row + chunk.rows <= slab.first_row + slab.rows;
      EXPECT_EQ(holders, 1) << "a slab holds whole chunks";
    }
    for (size_t f = 0; f < at.size(); ++f) EXPECT_EQ(at[f], target.layout.files[f].size);
  }
  std::vector<int64_t> rows(model.pieces.size());
  for (const Slab& slab : plan.slabs) {
    EXPECT_EQ(slab.first_row, rows[slab.piece]);
    rows[slab.piece] += slab.rows;
  }
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i], ShapeOf(model.pieces[i]).rows);
}

TEST(Geometry, ChunksHoldTheLargestPowerOfTwoThatFits) {
  EXPECT_EQ(RowsPerChunk(4 * kMiB, 0), 1);
  EXPECT_EQ(RowsPerChunk(4 * kMiB + 1, 0), 0);
  EXPECT_EQ(RowsPerChunk(4 * kMiB, 1), 0);
  EXPECT_EQ(RowsPerChunk(2 * kMiB, 0), 2);
  EXPECT_EQ(RowsPerChunk(2 * kMiB, 1), 1);
  EXPECT_EQ(RowsPerChunk(1, 0), 4 * kMiB);
  EXPECT_EQ(RowsPerChunk(1728, 0), 2048);  // Q4_0 rows of 3072: 2427 fit
  EXPECT_EQ(RowsPerChunk(12288, 0), 256);  // F32 rows of 3072: 341 fit
}

TEST(Geometry, RowOrdersAreEachOthersInverse) {
  for (const int64_t d : {2, 8, 96}) {
    for (int64_t r = 0; r < d; ++r) {
      const int64_t hf = SourceRow(RowOrder::kHf, RowOrder::kInterleaved, d, r);
      EXPECT_EQ(SourceRow(RowOrder::kInterleaved, RowOrder::kHf, d, hf), r);
      EXPECT_EQ(SourceRow(RowOrder::kHf, RowOrder::kHf, d, r), r);
      for (int64_t i = 0; i < d / 2; ++i)
        for (int64_t h = 0; h < 2; ++h)
          EXPECT_EQ(SourceRow(RowOrder::kHf, RowOrder::kInterleaved, d, 2 * i + h), h * d / 2 + i);
    }
  }
}

TEST(WiderThanHalf, IsSomethingThatTheTargetHolds) {
  const Piece matrix{
      .role = Role::kFfnUp, .rows = 8, .cols = 64, .dims = 2, .tensor = 0, .first_row = 0};
  const Piece norm{
      .role = Role::kAttnNorm, .rows = 1, .cols = 64, .dims = 1, .tensor = 0, .first_row = 0};
  const auto said = [](const char* target, const Piece& piece) {
    return WiderThanHalf(*ParseTargetSpec(target), piece);
  };
  for (const char* target : {"gguf:f16", "gguf:q4_0", "mlx:fp16", "mlx:int4-g64"})
    EXPECT_EQ(said(target, matrix), "keep it in bf16 (--tensor-type role:ffn_up=bf16)") << target;
  for (const char* target :
       {"onnx:int8", "onnx:int8-qdq", "openvino:fp16", "openvino:int4-g128-asym"})
    EXPECT_EQ(said(target, matrix), "keep it in f32 (--tensor-type role:ffn_up=f32)") << target;
  // All that ONNX multiplies there is F16.
  for (const Piece& piece : {matrix, norm}) EXPECT_EQ(said("onnx:fp16", piece), "use onnx:fp32");
  EXPECT_EQ(said("mlx:int4", norm), "use mlx:bf16");
}

TEST(ParseTargetSpec, NamesAndRefusals) {
  const auto spec = ParseTargetSpec("gguf:q4_0");
  ASSERT_OK(spec);
  EXPECT_EQ(spec->name(), "gguf-q4_0");
  EXPECT_EQ(ParseTargetSpec("onnx:int4-g128-asym")->name(), "onnx-int4-g128-asym");
  EXPECT_EQ(ParseTargetSpec("onnx:int8-qdq")->name(), "onnx-int8-qdq");
  EXPECT_EQ(ParseTargetSpec("onnx:int4-g128-asym-exact")->name(), "onnx-int4-g128-asym-exact");
  EXPECT_EQ(ParseTargetSpec("onnx:int8-exact")->name(), "onnx-int8-exact");
  for (const char* text : {"", "gguf", "gguf:", ":q4_0", "gguf:q9", "onnx:q4_0", "gguf:int4",
                           "mlx:fp32", "onnx:bf16", "openvino:fp32", "gguf:q4_0:x", "gguf-q4_0",
                           "gguf:int4-g64", "onnx:fp16-g64", "mlx:int8-qdq", "mlx:int4-exact",
                           "openvino:int8-g64-exact", "gguf:int4-exact", "onnx:int8-qdq-exact"})
    EXPECT_ERROR(ParseTargetSpec(text), kInvalidArgument, "gguf:q8_0");
}

TEST(Plan, AsIsIsForGgufSourcesWithoutChanges) {
  EXPECT_EQ(ParseTargetSpec("gguf:as-is")->name(), "gguf-as-is");
  for (const char* text : {"onnx:as-is", "mlx:as-is", "openvino:as-is", "gguf:as-is-g64"})
    EXPECT_ERROR(ParseTargetSpec(text), kInvalidArgument, "as-is (only gguf)");
  const TempDir dir;
  WriteTinyModel(dir.path(), "llama");
  const auto source = OpenModel(RealFileSystem(), dir.path());
  ASSERT_OK(source);
  EXPECT_ERROR(MakePlan(**source, {{"gguf", "as-is"}}), kInvalidArgument, "safetensors", "GGUF");
  TargetSpec changed{"gguf", "as-is"};
  changed.own = *FindRecipe("as-is");
  changed.own->changes.pure = true;
  EXPECT_ERROR(MakePlan(**source, {changed}), kInvalidArgument, "cannot be changed");
}

TEST(Plan, EveryArchitectureAndRecipeIsSound) {
  const TempDir dir;
  for (const Family* family : Decoders()) {
    const fs::path folder = dir / std::string(family->name);
    WriteTinyModel(folder, family->name);
    const auto source = OpenModel(RealFileSystem(), folder);
    ASSERT_OK(source);
    const auto plan = MakePlan(**source, AllRecipes());
    ASSERT_OK(plan);
    ASSERT_EQ(plan->targets.size(), 5u);
    ExpectSound((*source)->description(), *plan);
    EXPECT_EQ(PlanDigest(*plan), PlanDigest(*MakePlan(**source, AllRecipes())));
    EXPECT_NE(PlanDigest(*plan), PlanDigest(*MakePlan(**source, {{"gguf", "q4_0"}})));
    EXPECT_NE(PlanDigest(*MakePlan(**source, {{"gguf", "q8_0"}})),
              PlanDigest(*MakePlan(**source, {{"gguf", "q4_0"}})));
  }
}

TEST(Plan, TargetsAreAskedForOnceAndAtLeastOne) {
  const TempDir dir;
  WriteTinyModel(dir.path(), "phi3");
  const auto source = OpenModel(RealFileSystem(), dir.path());
  ASSERT_OK(source);
  EXPECT_ERROR(MakePlan(**source, {}), kInvalidArgument, "target");
  EXPECT_ERROR(MakePlan(**source, {{"gguf", "f16"}, {"gguf", "f16"}}), kInvalidArgument,
               "gguf:f16");
  EXPECT_ERROR(MakePlan(**source, {{"tar", "f16"}}), kInvalidArgument, "tar");
}

std::string Text(const ModelSource& source, const Plan& plan, const RunWish& wish = {}) {
  const auto runs = RunsOf(plan, wish);
  EXPECT_OK(runs);
  return DescribePlan(source.description(), plan, *runs);
}

TEST(Plan, TextSaysTheTermsOfRunning) {
  const TempDir dir;
  WriteTinyModel(dir.path(), "llama", {.context = 8192});
  const auto source = OpenModel(RealFileSystem(), dir.path());
  ASSERT_OK(source);
  const auto plan = MakePlan(**source, {{"gguf", "f16"}, {"onnx", "fp32"}});
  ASSERT_OK(plan);
  const v1::Memory& memory = plan->targets[0].layout.memory;
  EXPECT_EQ(memory.model_context(), 8192u);
  EXPECT_THAT(
      Text(**source, *plan),
      HasSubstr("needs " + DescribeNeed(*NeedOf(memory, 4096, "f16")) + " of memory to run\n"));
  EXPECT_THAT(Text(**source, *plan), Names("4096", "f32"));  // of onnx:fp32
  EXPECT_ERROR(RunsOf(*plan, {.context = 8193}), kInvalidArgument, "gguf-f16", "8193", "8192");
  EXPECT_ERROR(RunsOf(*plan, {.kv_type = "q8_0"}), kInvalidArgument, "onnx-fp32", "q8_0", "f32");

  const auto only = MakePlan(**source, {{"gguf", "f16"}});
  const uint64_t bytes = NeedOf(memory, 1024, "f16")->total();
  EXPECT_THAT(Text(**source, *only, {.device_bytes = bytes}), Names("does not fit", "1024"));
  EXPECT_THAT(Text(**source, *only, {.context = 1024, .device_bytes = bytes}),
              Names("fits; ", "1024"));
  // What fits without being a multiple of 256 fits.
  const uint64_t odd = NeedOf(memory, 1000, "f16")->total();
  EXPECT_THAT(Text(**source, *only, {.context = 1000, .device_bytes = odd}),
              Names("fits; ", "1000"));
  EXPECT_THAT(Text(**source, *only, {.device_bytes = 1}), Names("does not fit", "any"));
}

TEST(Plan, TextNamesTensorsSchemesAndExactSizes) {
  const TempDir dir;
  WriteTinyModel(dir.path(), "phi3");
  const auto source = OpenModel(RealFileSystem(), dir.path());
  ASSERT_OK(source);
  const auto plan = MakePlan(**source, {{"gguf", "q4_0"}});
  ASSERT_OK(plan);
  const std::string text = Text(**source, *plan);
  EXPECT_THAT(text, HasSubstr("blk.1.attn_qkv.weight"));
  EXPECT_THAT(text, HasSubstr("128 x 64"));  // 4 + 2 + 2 heads of 16 rows, fused
  EXPECT_THAT(text, HasSubstr("q4_0"));
  EXPECT_THAT(text, HasSubstr(fmt::format("gguf-q4_0/model.gguf: {} bytes",
                                          plan->targets[0].layout.files.back().size)));
}

TEST(Plan, ChangesAndImportanceShow) {
  const TempDir dir;
  WriteTinyModel(dir.path(), "llama", {.hidden = 256, .intermediate = 512});
  const auto source = OpenModel(RealFileSystem(), dir.path());
  ASSERT_OK(source);
  const ModelDescription& model = (*source)->description();
  TargetSpec changed{"gguf", "q4_k_m"};
  changed.own = *FindRecipe("q4_k_m");
  changed.own->changes.overrides = {*TypeOverride::Parse("attn_k=q8_0")};
  const auto plain = MakePlan(**source, {{"gguf", "q4_k_m"}});
  const auto plan = MakePlan(**source, {changed});
  ASSERT_OK(plan);
  EXPECT_NE(PlanDigest(*plan), PlanDigest(*plain));
  EXPECT_THAT(Text(**source, *plan), HasSubstr("with attn_k=q8_0"));
  EXPECT_LT(ExpectedErrorOf(model, plan->targets[0]), ExpectedErrorOf(model, plain->targets[0]));
  const auto tensors = TensorsOf(model, *plan, plan->targets[0]);
  const auto k = std::ranges::find(tensors, "blk.0.attn_k.weight", &PlannedTensor::name);
  EXPECT_EQ(k->dtype, DType::kQ8_0);
  EXPECT_DOUBLE_EQ(k->expected_error, ExpectedError(DType::kBF16, DType::kQ8_0));
  EXPECT_FALSE(k->weighed);

  Importance importance{.digest = HashText("i"), .columns = {}};
  for (const Piece& piece : model.pieces)
    importance.columns.emplace_back(piece.dims == 2 ? static_cast<size_t>(piece.cols) : 0, 1.f);
  changed.calibrated = true;
  const auto weighed =
      MakePlan(**source, {changed}, {.importance = std::make_shared<const Importance>(importance)});
  ASSERT_OK(weighed);
  EXPECT_THAT(Text(**source, *weighed), HasSubstr("importance: " + HashText("i").hex()));
  for (const PlannedTensor& tensor : TensorsOf(model, *weighed, weighed->targets[0]))
    EXPECT_EQ(tensor.weighed, tensor.dtype != DType::kF32 && tensor.dtype != DType::kQ8_0)
        << tensor.name;
}

class HandMade : public ::testing::Test {
 protected:
  absl::StatusOr<Plan> PlanWith(const std::function<void(TargetLayout&)>& change) {
    auto target = SimpleTarget(source_.model, "q", DType::kQ4_0, RowOrder::kHf);
    change(target.second);
    return PlanFromLayouts(source_.model, {target});
  }
  MemorySource source_;
};

TEST_F(HandMade, AHeadOfOddSizeMakesTallerSlabs) {
  source_.model.hyper.head_dim = 96;
  source_.Declare(Role::kAttnQ, DType::kBF16, 96 * 40, 8192);
  const auto straight = PlanFromLayouts(
      source_.model, {SimpleTarget(source_.model, "a", DType::kQ4_0, RowOrder::kHf)});
  const auto permuted = PlanFromLayouts(
      source_.model, {SimpleTarget(source_.model, "a", DType::kQ4_0, RowOrder::kInterleaved)});
  ASSERT_OK(straight);
  ASSERT_OK(permuted);
  EXPECT_EQ(straight->slabs[0].rows, 512);      // rows of 4608 bytes: 910 fit a chunk
  EXPECT_EQ(permuted->slabs[0].rows, 512 * 3);  // the least that holds whole heads too
  ExpectSound(source_.model, *straight);
  ExpectSound(source_.model, *permuted);
  EXPECT_EQ(straight->targets[0].chunks.size(), permuted->targets[0].chunks.size());
}

TEST_F(HandMade, ASlabIsAtLeastASourceBlock) {
  source_.Declare(Role::kFfnUp, DType::kBF16, 4096, 2048);
  const auto plan = PlanFromLayouts(
      source_.model, {SimpleTarget(source_.model, "f", DType::kF32, RowOrder::kHf, 96)});
  ASSERT_OK(plan);
  EXPECT_EQ(plan->slabs[0].rows, 1024);             // 4 MiB of BF16
  EXPECT_EQ(plan->targets[0].chunks[1].rows, 512);  // 4 MiB of F32
  ExpectSound(source_.model, *plan);
}

TEST_F(HandMade, OneDimensionIsOneChunkUpToFourMebibytes) {
  source_.Declare(Role::kAttnNorm, DType::kBF16, 1, 5000, 1);
  source_.Declare(Role::kFfnNorm, DType::kF32, 1, 2 * kMiB + 5, 1);
  const auto plan = PlanFromLayouts(source_.model,
                                    {SimpleTarget(source_.model, "f", DType::kF32, RowOrder::kHf)});
  ASSERT_OK(plan);
  ExpectSound(source_.model, *plan);
  std::vector<int64_t> rows;
  for (const PlannedChunk& chunk : plan->targets[0].chunks)
    if (chunk.piece >= 0) rows.push_back(chunk.rows);
  // Twelve bytes of padding follow the second: with them only half a million elements are a power
  // of two that fits.
  EXPECT_EQ(rows, (std::vector<int64_t>{5000, kMiB / 2, kMiB / 2, kMiB / 2, kMiB / 2, 5}));
}

TEST_F(HandMade, HeadersAreCutAtFourMebibytes) {
  source_.Declare(Role::kAttnNorm, DType::kF32, 1, 8, 1);
  const auto plan = PlanFromLayouts(
      source_.model, {SimpleTarget(source_.model, "f", DType::kF32, RowOrder::kHf, 9 * kMiB)});
  ASSERT_OK(plan);
  ExpectSound(source_.model, *plan);
  EXPECT_EQ(plan->targets[0].chunks.size(), 4u);
}

TEST_F(HandMade, ChunksRestartAtPiecesOfAFusedTensor) {
  source_.Declare(Role::kAttnQ, DType::kBF16, 300, 64);
  source_.model.pieces[0].rows = 100;
  source_.AddPiece(Role::kAttnK, 100, 64, 2, 0, 100);
  source_.AddPiece(Role::kAttnV, 100, 64, 2, 0, 200);
  const auto plan = PlanFromLayouts(source_.model,
                                    {SimpleTarget(source_.model, "f", DType::kF32, RowOrder::kHf)});
  ASSERT_OK(plan);
  ExpectSound(source_.model, *plan);
  EXPECT_EQ(plan->targets[0].chunks.size(), 4u);
}

TEST_F(HandMade, WhatCannotBeQuantizedIsNamed) {
  source_.Declare(Role::kFfnUp, DType::kQ8_0, 4, 65);
  EXPECT_ERROR(PlanWith([](TargetLayout&) {}), kInvalidArgument, "ffn_up.src", "q8_0");
  source_ = {};
  source_.Declare(Role::kFfnUp, DType::kF32, 1, 2 * kMiB);
  EXPECT_ERROR(PlanWith([](TargetLayout&) {}), kUnimplemented, "ffn_up.src");
  source_ = {};
  source_.Declare(Role::kFfnUp, DType::kBF16, 2, 2 * kMiB);  // fits as source, not as F32
  EXPECT_ERROR(PlanFromLayouts(source_.model,
                               {SimpleTarget(source_.model, "f", DType::kF32, RowOrder::kHf)}),
               kUnimplemented, "8.0 MiB", "f32");
}

TEST_F(HandMade, LayoutsThatContradictThemselvesAreRefused) {
  source_.Declare(Role::kFfnUp, DType::kF32, 4, 64);
  source_.Declare(Role::kFfnDown, DType::kF32, 4, 64);
  EXPECT_OK(PlanWith([](TargetLayout&) {}));
  EXPECT_ERROR(PlanWith([](TargetLayout& l) { l.files[0].fixed[0].bytes.pop_back(); }), kInternal,
               "hole");
  EXPECT_ERROR(PlanWith([](TargetLayout& l) { l.files[0].fixed[0].bytes += 'x'; }), kInternal,
               "overlap");
  EXPECT_ERROR(PlanWith([](TargetLayout& l) { l.files[0].size += 1; }), kInternal, "fills");
  EXPECT_ERROR(PlanWith([](TargetLayout& l) { l.pieces[0].padding += 32; }), kInternal, "overlap");
  EXPECT_ERROR(PlanWith([](TargetLayout& l) { l.pieces[0].piece = 9; }), kInternal, "no piece");
  EXPECT_ERROR(PlanWith([](TargetLayout& l) { l.pieces[0].file = 1; }), kInternal, "no file");
  EXPECT_ERROR(PlanWith([](TargetLayout& l) { std::swap(l.pieces[0], l.pieces[1]); }), kInternal,
               "not sorted");
  EXPECT_ERROR(PlanWith([](TargetLayout& l) { l.files.push_back({"a", 0, {}}); }), kInternal,
               "not sorted");
  EXPECT_ERROR(PlanWith([](TargetLayout& l) { l.files[0].path = "manifest.pb"; }), kInvalidArgument,
               "manifest.pb");
  source_.model.pieces[0].order = RowOrder::kInterleaved;
  EXPECT_ERROR(PlanWith([](TargetLayout&) {}), kInvalidArgument, "head size");
}

}  // namespace
}  // namespace quantfleet::pipeline
