// A calibration's folder: what it holds when it is whole, and what a run finds that resumes.
#include "engine/calibrate/calibration_folder.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "engine/calibrate/calibrate.h"
#include "pipeline/format/gguf/read/gguf_file.h"
#include "pipeline/format/gguf/read/gguf_importance.h"
#include "tests/engine/calibrate/runnable_reference.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::engine {
namespace {

using namespace testing;  // NOLINT: the reference model

class CalibrationFolderTest : public ::testing::Test {
 protected:
  // As it would be with another model or text, where a test says so.
  CalibrationOrigin Origin(std::string_view model = "model", std::string_view text = "text") {
    return {.source = HashText(model),
            .sample = HashText("sample"),
            .architecture = "llama",
            .text = "text.txt",
            .text_digest = HashText(text),
            .tokens_digest = HashText(text),
            .tokens = static_cast<int64_t>(ids_.size()),
            .chunk = 10,
            .second_moments = true};
  }

  struct Run {
    std::string name = "out";
    CalibrationOrigin origin;
    bool replace = false, resume = false;
    int stop_behind = 100;  // layers
  };
  absl::StatusOr<CalibrationResult> Calibrate(const Run& run) {
    QF_ASSIGN_OR_RETURN(const auto folder,
                        CalibrationFolder::Open(RealFileSystem(), dir_.path() / run.name,
                                                {.replace = run.replace, .resume = run.resume}));
    std::stop_source stop;
    CalibrationOptions options{.stop = stop.get_token()};
    options.on_progress = [&](const CalibrationProgress& p) {
      if (p.layer >= run.stop_behind) stop.request_stop();
    };
    RunnableModel runnable = MakeRunnable(model_);
    return engine::Calibrate(runnable, *folder, run.origin, ids_, RealClock(), options);
  }

  std::string Read(const fs::path& file) { return *RealFileSystem().ReadAll(dir_.path() / file); }
  boost::json::object Status(const std::string& name = "out") {
    return boost::json::parse(Read(fs::path(name) / kCalibrationFile)).as_object();
  }
  // Both runs' files are the same, byte for byte.
  void ExpectSame(const std::string& a, const std::string& b) {
    for (const std::string_view file : {kImportanceFile, kSecondMomentsFile, kCalibrationFile})
      EXPECT_EQ(Read(fs::path(a) / file), Read(fs::path(b) / file)) << file;
  }
  void Spoil(const fs::path& file) {
    std::string bytes = Read(file);
    ASSERT_FALSE(bytes.empty());
    bytes[bytes.size() / 2] ^= 1;
    ASSERT_OK(RealFileSystem().WriteAtomically(dir_.path() / file, AsBytes(bytes)));
  }

  TempDir dir_;
  const ReferenceModel model_ = ReferenceBuilder({.family = "llama"}).Build();
  const std::vector<int32_t> ids_ = [] {
    std::vector<int32_t> ids(30);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 7 % 50);
    return ids;
  }();
};

TEST_F(CalibrationFolderTest, HoldsImportanceThatQuantizingReads) {
  ASSERT_OK(Calibrate({.origin = Origin()}));
  const auto importance = pipeline::ReadImportance(
      RealFileSystem(), dir_.path() / "out" / kImportanceFile, model_.description);
  ASSERT_OK(importance);
  for (size_t i = 0; i < model_.description.pieces.size(); ++i) {
    const pipeline::Piece& piece = model_.description.pieces[i];
    EXPECT_EQ(importance->Of(i) != nullptr, piece.dims == 2 && piece.layer >= 0)
        << Name(piece.role);
    EXPECT_EQ(importance->OrStandIn(i) != nullptr,
              importance->Of(i) != nullptr || IsHead(model_.description, piece))
        << Name(piece.role);
  }
  EXPECT_EQ(Status()["complete"], true);
  EXPECT_EQ(Status()["source_digest"].as_string(), HashText("model").hex());
  EXPECT_FALSE(fs::exists(dir_.path() / "out/.calibrating")) << "what was of use meanwhile";
}

TEST_F(CalibrationFolderTest, ADiskWithoutRoomIsFoundBefore) {
  FaultyFileSystem files;
  files.SetFreeSpace(1000);
  EXPECT_OK(CalibrationFolder::CheckRoom(files, dir_.path() / "not/there", 1000));
  EXPECT_ERROR(CalibrationFolder::CheckRoom(files, dir_.path() / "not/there", 1001),
               kResourceExhausted, "not/there");
  EXPECT_FALSE(fs::exists(dir_.path() / "not"));
}

TEST_F(CalibrationFolderTest, HoldsATriangleOfEachInputAndSaysWhoSharesIt) {
  ASSERT_OK(Calibrate({.origin = Origin()}));
  const fs::path path = dir_.path() / "out" / kSecondMomentsFile;
  const auto data = *RealFileSystem().Open(path, OpenMode::kRead);
  const auto file = pipeline::GgufFile::Read(*data, "moments");
  ASSERT_OK(file);
  EXPECT_EQ(*file->Text("general.type"), "second_moments");
  const std::vector<std::string>& shared = **file->Strings("quantfleet.shared_inputs");
  EXPECT_EQ(std::vector(shared.begin(), shared.begin() + 3),
            (std::vector<std::string>{"blk.0.attn_k.weight=blk.0.attn_q.weight",
                                      "blk.0.attn_v.weight=blk.0.attn_q.weight",
                                      "blk.0.ffn_up.weight=blk.0.ffn_gate.weight"}));
  EXPECT_EQ(file->tensors().size(), 3 * 4u + 1) << "the head's, too";
  const pipeline::GgufTensor* q = file->FindTensor("blk.2.attn_q.weight.in_xx");
  ASSERT_NE(q, nullptr);
  EXPECT_EQ(q->dims[0], 64 * 65 / 2);
  // The diagonal is what importance.gguf has as sums of squares.
  const auto sums_data =
      *RealFileSystem().Open(dir_.path() / "out" / kImportanceFile, OpenMode::kRead);
  const auto sums_file = *pipeline::GgufFile::Read(*sums_data, "importance");
  std::vector<float> triangle(64 * 65 / 2), squares(64);
  ASSERT_OK(data->ReadAt(q->offset, std::as_writable_bytes(std::span(triangle))));
  ASSERT_OK(sums_data->ReadAt(sums_file.FindTensor("blk.2.attn_k.weight.in_sum2")->offset,
                              std::as_writable_bytes(std::span(squares))));
  for (size_t i = 0; i < 64; ++i)
    EXPECT_NEAR(triangle[i * (i + 1) / 2 + i], squares[i], 1e-4 * squares[i] + 1e-6);
}

TEST_F(CalibrationFolderTest, ResumesBehindAnyLayerWithTheSameBytes) {
  ASSERT_OK(Calibrate({.name = "whole", .origin = Origin()}));
  for (int layers = 0; layers < 3; ++layers) {
    const std::string name = fmt::format("stopped-{}", layers);
    EXPECT_ERROR(Calibrate({.name = name, .origin = Origin(), .stop_behind = layers}).status(),
                 kCancelled, "stopped");
    EXPECT_EQ(Status(name)["complete"], false);
    EXPECT_EQ(Status(name)["layers_done"], layers);
    const auto resumed = Calibrate({.name = name, .origin = Origin(), .resume = true});
    ASSERT_OK(resumed);
    EXPECT_EQ(resumed->layers_resumed, layers);
    ExpectSame("whole", name);
  }
}

// What had not reached the disk when the power went.
TEST_F(CalibrationFolderTest, WhatIsDamagedIsMeasuredAgain) {
  ASSERT_OK(Calibrate({.name = "whole", .origin = Origin()}));
  const std::vector<std::pair<std::string, int>> damages{
      {"states-1", 1}, {"layer-1", 1}, {"layer-0", 0}, {"second_moments.gguf", -1}};
  for (const auto& [file, left] : damages) {
    SCOPED_TRACE(file);
    EXPECT_ERROR(Calibrate({.name = file, .origin = Origin(), .stop_behind = 2}).status(),
                 kCancelled, "stopped");
    Spoil(fs::path(file) / ".calibrating" / file);
    const auto resumed = Calibrate({.name = file, .origin = Origin(), .resume = true});
    ASSERT_OK(resumed);
    if (left >= 0) {
      EXPECT_EQ(resumed->layers_resumed, left);
    }
    ExpectSame("whole", file);
  }
}

TEST_F(CalibrationFolderTest, AnotherModelOrTextIsRefused) {
  EXPECT_ERROR(Calibrate({.origin = Origin(), .stop_behind = 1}).status(), kCancelled, "stopped");
  EXPECT_ERROR(Calibrate({.origin = Origin("other"), .resume = true}).status(), kFailedPrecondition,
               "another model", HashText("other").hex().substr(0, 12));
  EXPECT_ERROR(Calibrate({.origin = Origin("other")}).status(), kFailedPrecondition, "--force");
  EXPECT_ERROR(Calibrate({.origin = Origin("model", "other"), .resume = true}).status(),
               kFailedPrecondition, "another text");
  ASSERT_OK(Calibrate({.origin = Origin("other"), .replace = true}));
  EXPECT_ERROR(Calibrate({.origin = Origin("other"), .resume = true}).status(), kAlreadyExists,
               "--force");
  EXPECT_EQ(Status()["source_digest"].as_string(), HashText("other").hex());
}

TEST_F(CalibrationFolderTest, WithoutResumeItBeginsAgain) {
  EXPECT_ERROR(Calibrate({.origin = Origin(), .stop_behind = 2}).status(), kCancelled, "stopped");
  const auto again = Calibrate({.origin = Origin("model", "other")});
  ASSERT_OK(again);
  EXPECT_EQ(again->layers_resumed, 0);
}

TEST_F(CalibrationFolderTest, OneProcessAtATimeWrites) {
  const auto first = CalibrationFolder::Open(RealFileSystem(), dir_.path() / "out", {});
  ASSERT_OK(first);
  EXPECT_ERROR(CalibrationFolder::Open(RealFileSystem(), dir_.path() / "out", {}).status(),
               kFailedPrecondition, "another process");
}

TEST_F(CalibrationFolderTest, AFileOfThatNameThatIsNoneIsLeftAlone) {
  ASSERT_OK(RealFileSystem().MakeFolder(dir_.path() / "out"));
  ASSERT_OK(
      RealFileSystem().WriteAtomically(dir_.path() / "out" / kCalibrationFile, AsBytes("mine")));
  EXPECT_ERROR(Calibrate({.origin = Origin()}).status(), kFailedPrecondition, "--force");
  EXPECT_EQ(Read("out/calibration.json"), "mine");
}

TEST(CostOf, NamesWhatFitsTheMemory) {
  const ReferenceModel model = ReferenceBuilder({.family = "llama"}).Build();
  const auto cost = CostOf(model.description, 1000, 10, true, uint64_t{1} << 40);
  ASSERT_OK(cost);
  EXPECT_EQ(cost->memory.states, 1000u * 64 * 4);
  EXPECT_EQ(cost->layers, 3);
  const uint64_t rest = cost->memory.buffers + cost->memory.statistics;
  ASSERT_OK(CostOf(model.description, 1000, 10, true, cost->memory.total()));
  EXPECT_ERROR(CostOf(model.description, 1000, 10, true, rest + 505 * 64 * 4).status(),
               kResourceExhausted, "--chunks 50");
  EXPECT_ERROR(CostOf(model.description, 1000, 10, true, rest).status(), kResourceExhausted,
               "--second-moments");
}

TEST(CostOf, EncodersAreRefusedByName) {
  ReferenceModel model = ReferenceBuilder({.family = "llama"}).Build();
  model.description.family = pipeline::FindFamily("bert");
  EXPECT_ERROR(CostOf(model.description, 10, 10, false, uint64_t{1} << 40).status(),
               kInvalidArgument, "bert");
}

}  // namespace
}  // namespace quantfleet::engine
