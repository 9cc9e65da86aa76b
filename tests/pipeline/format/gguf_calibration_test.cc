#include "pipeline/format/gguf/read/gguf_calibration.h"

#include <gtest/gtest.h>

#include <map>

#include "pipeline/format/gguf/write/gguf_writer.h"
#include "pipeline/model/source_sample.h"
#include "tests/support/canonical_model.h"
#include "tests/support/memory_file.h"
#include "tests/support/memory_source.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

using testing::MemoryFileSystem;
using testing::MemorySource;

ModelDescription CalibratedModel(std::string_view family) {
  return testing::CanonicalModel(family, {.hidden = 2,
                                          .intermediate = 3,
                                          .layers = 1,
                                          .heads = 1,
                                          .kv_heads = 1,
                                          .head_dim = 2,
                                          .vocab = 9,
                                          .context = 8,
                                          .original_context = 8,
                                          .rope_dims = 2});
}

// A tensor for each piece, whose bytes are all the same.
MemorySource CalibratedSource(std::string_view family) {
  MemorySource source;
  source.model = CalibratedModel(family);
  for (Piece& piece : source.model.pieces) {
    piece.tensor = source.model.tensors.size();
    source.model.tensors.push_back(
        {std::string(Name(piece.role)), DType::kF32, piece.rows, piece.cols, piece.dims});
    source.data.emplace_back(static_cast<size_t>(piece.rows * RowBytes(DType::kF32, piece.cols)),
                             std::byte{1});
  }
  return source;
}

using Statistics = std::map<std::string, std::vector<float>>;

std::string StatisticsOf(const Statistics& vectors, std::string_view type,
                         const std::vector<std::string>& shared = {}) {
  GgufWriter writer;
  writer.AddText("general.type", type);
  if (!shared.empty()) writer.AddTexts("quantfleet.shared_inputs", shared);
  std::string data;
  for (const auto& [name, values] : vectors) {
    writer.AddTensor(name, DType::kF32, 1, static_cast<int64_t>(values.size()), 1);
    data += AsText(std::as_bytes(std::span(values)));
    data.resize(writer.data_size(), '\0');
  }
  return writer.Header() + data;
}

class CalibrationTest : public ::testing::Test {
 protected:
  CalibrationTest() {
    PutImportance({{"blk.0.attn_q.weight.in_sum2", {2, 4}}, {"blk.0.attn_q.weight.counts", {2}}});
    PutMoments({{"blk.0.attn_q.weight.in_xx", {2, 1, 4}}},
               {"blk.0.attn_k.weight=blk.0.attn_q.weight"});
    PutOrigin(R"({"complete": true, "source_digest": ")" + HashText("m").hex() + "\"}");
  }
  void PutImportance(const Statistics& vectors) {
    files_.Put("c/importance.gguf", StatisticsOf(vectors, "imatrix"));
  }
  void PutMoments(const Statistics& vectors, const std::vector<std::string>& shared = {},
                  std::string_view type = "second_moments") {
    files_.Put("c/second_moments.gguf", StatisticsOf(vectors, type, shared));
  }
  void PutOrigin(std::string text) { files_.Put("c/calibration.json", std::move(text)); }
  absl::StatusOr<Calibration> Open(bool with_moments = true) {
    return OpenCalibration(files_, "c", source_, with_moments);
  }
  size_t PieceOf(Role role) const {
    return static_cast<size_t>(source_.model.Find(role, 0) - source_.model.pieces.data());
  }

  MemorySource source_ = CalibratedSource("llama");
  MemoryFileSystem files_;
};

TEST_F(CalibrationTest, SaysWhatIsKnownOfEachPiece) {
  const auto calibration = Open();
  ASSERT_OK(calibration);
  EXPECT_EQ(calibration->source, HashText("m"));
  EXPECT_NE(calibration->importance->Of(PieceOf(Role::kAttnQ)), nullptr);
  const SecondMoments& moments = *calibration->moments;
  const int64_t input = moments.InputOf(PieceOf(Role::kAttnQ));
  ASSERT_GE(input, 0);
  EXPECT_EQ(moments.InputOf(PieceOf(Role::kAttnK)), input) << "it is shared";
  EXPECT_EQ(moments.InputOf(PieceOf(Role::kAttnV)), -1);
  EXPECT_EQ(moments.InputOf(PieceOf(Role::kAttnNorm)), -1);
  EXPECT_EQ(moments.InputOf(9999), -1);
  std::vector<float> values(2);
  ASSERT_OK(moments.Read(input, 1, values));
  EXPECT_EQ(values, (std::vector<float>{1, 4}));
  const auto without = Open(false);
  ASSERT_OK(without);
  EXPECT_EQ(without->moments, nullptr);
}

TEST_F(CalibrationTest, AnotherModelsShapesAreRefused) {
  PutMoments({{"blk.0.attn_q.weight.in_xx", {1, 2, 3, 4, 5, 6}}});
  EXPECT_ERROR(Open(), kInvalidArgument, "second_moments.gguf", "blk.0.attn_q.weight.in_xx",
               "another model");
  PutMoments({{"layer.in_xx", {2, 1, 4}}});
  EXPECT_ERROR(Open(), kInvalidArgument, "second_moments.gguf", "another model");
  PutImportance({{"blk.0.attn_q.weight.in_sum2", {1, 2, 3}}, {"blk.0.attn_q.weight.counts", {2}}});
  EXPECT_ERROR(Open(), kInvalidArgument, "importance.gguf", "another model");
}

TEST_F(CalibrationTest, WhatIsNoCalibrationIsRefused) {
  PutMoments({{"blk.0.attn_q.weight.in_xx", {2, 1, 4}}}, {}, "imatrix");
  EXPECT_ERROR(Open(), kInvalidArgument, "second_moments.gguf", "'imatrix'");
  PutMoments({{"blk.0.attn_q.weight.in_xx", {2, 1, 4}}}, {"blk.0.attn_k.weight"});
  EXPECT_ERROR(Open(), kInvalidArgument, "second_moments.gguf", "blk.0.attn_k.weight");
  PutOrigin(R"({"complete": false, "source_digest": ")" + HashText("m").hex() + "\"}");
  EXPECT_ERROR(Open(), kInvalidArgument, "--resume");
  for (const char* bad :
       {"", "[]", R"({"complete": true})", R"({"complete": 1, "source_digest": 2})",
        R"({"complete": true, "source_digest": "12"})"}) {
    PutOrigin(bad);
    EXPECT_ERROR(Open(), kInvalidArgument, "calibration.json");
  }
}

// Before any pass, and whichever of its tensors is another.
TEST_F(CalibrationTest, AnotherModelsWeightsAreRefused) {
  PutOrigin(fmt::format(R"({{"complete": true, "source_digest": "{}", "source_sample": "{}"}})",
                        HashText("m").hex(), SourceSampleOf(source_)->hex()));
  ASSERT_OK(Open());
  for (Bytes& tensor : source_.data) {
    tensor.back() = std::byte{2};
    EXPECT_ERROR(Open(), kFailedPrecondition, "another model", HashText("m").hex());
    tensor.back() = std::byte{1};
  }
  PutOrigin(fmt::format(R"({{"complete": true, "source_digest": "{}", "source_sample": 1}})",
                        HashText("m").hex()));
  EXPECT_ERROR(Open(), kInvalidArgument, "calibration.json", "source_sample");
}

TEST(NoMomentsTest, FeedbackSaysHowToGetThem) {
  MemoryFileSystem files;
  files.Put("c/importance.gguf", StatisticsOf({{"blk.0.attn_q.weight.in_sum2", {2, 4}},
                                               {"blk.0.attn_q.weight.counts", {2}}},
                                              "imatrix"));
  const MemorySource source = CalibratedSource("llama");
  const auto calibration = OpenCalibration(files, "c", source, true);
  EXPECT_ERROR(calibration, kInvalidArgument, "second_moments.gguf", "--second-moments",
               "--rounding search");
}

}  // namespace
}  // namespace quantfleet::pipeline
