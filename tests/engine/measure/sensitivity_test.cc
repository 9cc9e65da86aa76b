#include "engine/measure/sensitivity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "engine/measure/sensitivity_file.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/exact_copy.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::engine {
namespace {

using pipeline::DType;
using pipeline::Role;
using ::quantfleet::testing::StatusOf;
using ::quantfleet::testing::TempDir;
using ::quantfleet::testing::TinyModelOptions;
using ::quantfleet::testing::WriteTinyModel;

constexpr int64_t kChunk = 16;

class SensitivityTest : public ::testing::Test {
 protected:
  fs::path Make(const std::string& family, TinyModelOptions options = {}) {
    options.layers = 3;
    options.dtype = DType::kF32;
    const fs::path folder = dir_.path() / family;
    WriteTinyModel(folder, family, options);
    const auto source = pipeline::OpenModel(RealFileSystem(), folder);
    return pipeline::WriteExactCopy(RealFileSystem(), **source, dir_.path() / (family + "-copy"),
                                    {})
        ->file;
  }
  static RunnableModel Load(const fs::path& gguf, int threads = 2) {
    return std::move(
        *RunnableModel::Load(gguf, {.threads = threads, .context = 64, .kv_type = DType::kF32}));
  }
  static std::vector<int32_t> Tokens(int64_t count = 3 * kChunk) {
    std::vector<int32_t> tokens(static_cast<size_t>(count));
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = static_cast<int32_t>(3 + i * i * 7 % 290);
    return tokens;
  }
  static SensitivityOptions Options(uint64_t memory = uint64_t{64} << 20) {
    return {.chunk = kChunk, .memory_bytes = memory};
  }
  // Not all alike, which a norm would undo.
  static void Spoil(std::span<float> rows) {
    for (size_t i = 0; i < rows.size(); i += 2) rows[i] *= 0.5f;
  }
  static absl::Status SomeHalved(Role, int, int, std::span<float> rows) {
    Spoil(rows);
    return absl::OkStatus();
  }

  TempDir dir_;
};

TEST_F(SensitivityTest, CellsCoverEachQuantizedPieceOnce) {
  for (const char* family : {"llama", "phi3", "qwen3moe"}) {
    const RunnableModel model = Load(Make(family));
    for (const int bands : {1, 2, 4}) {
      const std::vector<SensitivityCell> cells = CellsOf(model.description, bands);
      for (const pipeline::Piece& piece : model.description.pieces) {
        const auto having = std::ranges::count_if(
            cells, [&](const SensitivityCell& cell) { return cell.Has(piece); });
        EXPECT_EQ(having, piece.dims > 1 && piece.role != Role::kFfnRouter ? 1 : 0)
            << Name(piece.role);
      }
    }
  }
}

// Each cell is what the whole model says of itself with the same weights changed for good.
TEST_F(SensitivityTest, EachCellIsWhatTheWholeModelSays) {
  for (const auto& [family, tied] :
       {std::pair("llama", false), std::pair("llama", true), std::pair("qwen3moe", false)}) {
    const fs::path gguf = Make(family, {.tied = tied});
    RunnableModel model = Load(gguf);
    const std::vector<SensitivityCell> cells = CellsOf(model.description, 2);
    const std::vector<int32_t> tokens = Tokens();
    const auto probe = SensitivityProbe::Prepare(model, tokens, cells, Options());
    ASSERT_OK(probe);
    EXPECT_EQ((*probe)->judged(), static_cast<int64_t>(tokens.size()));
    const auto logits_of = [&](RunnableModel& of) {
      std::vector<float> all;
      for (size_t at = 0; at < tokens.size(); at += kChunk) {
        std::vector<float> logits;
        EXPECT_OK(of.transformer->Run(**of.MakeCache(kChunk), std::span(tokens).subspan(at, kChunk),
                                      Transformer::Want::kAll, logits));
        all.insert(all.end(), logits.begin(), logits.end());
      }
      return all;
    };
    const std::vector<float> wanted = logits_of(model);
    for (const SensitivityCell& cell : cells) {
      const auto found = (*probe)->Measure(cell, SomeHalved);
      ASSERT_OK(found);
      EXPECT_GT(*found, 0);
      RunnableModel changed = Load(gguf);
      std::vector<std::vector<float>> held;
      for (int layer = cell.first_layer; layer < cell.end_layer; ++layer) {
        Matrix matrix = changed.transformer->matrix(cell.role, layer);
        std::vector<float>& values =
            held.emplace_back(static_cast<size_t>(matrix.rows * matrix.cols));
        for (int64_t r = 0; r < matrix.rows; ++r)
          matrix.decode(matrix.row(r), matrix.cols, values.data() + r * matrix.cols);
        Spoil(values);
        matrix.data = std::as_bytes(std::span(values)).data();
        changed.transformer->Replace(cell.role, layer, matrix);
      }
      const std::vector<float> got = logits_of(changed);
      double divergence = 0;
      const auto vocab = static_cast<size_t>(model.description.hyper.vocab);
      for (size_t t = 0; t < tokens.size(); ++t) {
        const auto logs = [&](const std::vector<float>& logits) {
          std::vector<double> row(logits.begin() + static_cast<ptrdiff_t>(t * vocab),
                                  logits.begin() + static_cast<ptrdiff_t>((t + 1) * vocab));
          double sum = 0;
          for (const double v : row) sum += std::exp(v);
          for (double& v : row) v -= std::log(sum);
          return row;
        };
        const std::vector<double> p = logs(wanted), q = logs(got);
        for (size_t v = 0; v < vocab; ++v) divergence += std::exp(p[v]) * (p[v] - q[v]);
      }
      divergence /= static_cast<double>(tokens.size());
      EXPECT_NEAR(*found, divergence, 1e-6 + 1e-3 * divergence) << Name(cell.role);
    }
    // And the model is as it was.
    EXPECT_EQ(logits_of(model), wanted);
  }
}

TEST_F(SensitivityTest, ThreadsChangeNoFigure) {
  const fs::path gguf = Make("llama");
  std::vector<double> found[2];
  for (const int threads : {1, 3}) {
    RunnableModel model = Load(gguf, threads);
    const auto cells = CellsOf(model.description, 2);
    const auto probe = SensitivityProbe::Prepare(model, Tokens(), cells, Options());
    ASSERT_OK(probe);
    for (const SensitivityCell& cell : cells)
      found[threads == 1 ? 0 : 1].push_back(*(*probe)->Measure(cell, SomeHalved));
  }
  EXPECT_EQ(found[0], found[1]);
}

TEST_F(SensitivityTest, WhatIsNotSpoiledDivergesByNothing) {
  RunnableModel model = Load(Make("llama"));
  const auto cells = CellsOf(model.description, 2);
  const auto probe = SensitivityProbe::Prepare(model, Tokens(), cells, Options());
  ASSERT_OK(probe);
  for (const SensitivityCell& cell : cells) {
    const auto found =
        (*probe)->Measure(cell, [](Role, int, int, std::span<float>) { return absl::OkStatus(); });
    ASSERT_OK(found);
    EXPECT_NEAR(*found, 0, 1e-6);
  }
}

TEST_F(SensitivityTest, FewerTokensAreComparedWhereMemoryIsShort) {
  RunnableModel model = Load(Make("llama"));
  const auto cells = CellsOf(model.description, 2);
  const std::vector<int32_t> tokens = Tokens(64);
  const uint64_t some = SensitivityMemory(model.description, cells, 64, kChunk, 40);
  const auto probe = SensitivityProbe::Prepare(model, tokens, cells, Options(some));
  ASSERT_OK(probe);
  EXPECT_EQ((*probe)->judged(), 40);
  const uint64_t none = SensitivityMemory(model.description, cells, 64, kChunk, 8);
  EXPECT_EQ(StatusOf(SensitivityProbe::Prepare(model, tokens, cells, Options(none))).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(SensitivityTest, AFailureLeavesTheModelAsItWas) {
  RunnableModel model = Load(Make("llama"));
  const auto cells = CellsOf(model.description, 1);
  const auto probe = SensitivityProbe::Prepare(model, Tokens(), cells, Options());
  ASSERT_OK(probe);
  int calls = 0;
  const auto fails = [&](Role, int, int, std::span<float> rows) {
    std::ranges::fill(rows, 0.f);
    return ++calls < 2 ? absl::OkStatus() : DataLoss("no more");
  };
  EXPECT_EQ(StatusOf((*probe)->Measure(cells[1], fails)).code(), absl::StatusCode::kDataLoss);
  const auto nothing = [](Role, int, int, std::span<float>) { return absl::OkStatus(); };
  EXPECT_NEAR(*(*probe)->Measure(cells[1], nothing), 0, 1e-6);
}

TEST_F(SensitivityTest, AFileIsReadForItsOwnOriginAlone) {
  const SensitivityOrigin origin{.source = HashText("model"),
                                 .statistics = HashText("moments"),
                                 .tokens = HashText("text"),
                                 .rounding = "feedback",
                                 .spoiled = "q4_0",
                                 .chunk = 16,
                                 .judged = 48};
  const std::vector<MeasuredCell> cells = {{{Role::kAttnQ, 0, 2}, 0.1 + 0.2},
                                           {{Role::kTokenEmbedding}, 1e-9}};
  const fs::path path = dir_.path() / kSensitivitiesFile;
  FileSystem& files = RealFileSystem();
  EXPECT_TRUE(ReadSensitivities(files, path, origin)->empty());
  ASSERT_OK(WriteSensitivities(files, path, origin, cells));
  const auto read = ReadSensitivities(files, path, origin);
  ASSERT_OK(read);
  ASSERT_EQ(read->size(), cells.size());
  for (size_t i = 0; i < cells.size(); ++i) {
    EXPECT_EQ((*read)[i].cell, cells[i].cell);
    EXPECT_EQ((*read)[i].divergence, cells[i].divergence);
  }
  SensitivityOrigin other = origin;
  other.rounding = "search";
  EXPECT_TRUE(ReadSensitivities(files, path, other)->empty());
  ASSERT_OK(files.WriteAtomically(path, AsBytes("{\"cells\": 3")));
  EXPECT_TRUE(ReadSensitivities(files, path, origin)->empty());
}

}  // namespace
}  // namespace quantfleet::engine
