#include "pipeline/stage/row_sample.h"

#include <gtest/gtest.h>

#include "pipeline/format/registry/open_model.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::TempDir;
using ::quantfleet::testing::WriteTinyModel;

TEST(SampledRows, AreEvenlySpacedAndNeverTheSame) {
  EXPECT_EQ(SampledRows(8, 4), (std::vector<int64_t>{1, 3, 5, 7}));
  EXPECT_EQ(SampledRows(3, 100), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(SampledRows(5, 0), (std::vector<int64_t>{2}));
  const std::vector<int64_t> rows = SampledRows(1000, 256);
  EXPECT_EQ(rows.size(), 256u);
  for (size_t i = 1; i < rows.size(); ++i) EXPECT_LT(rows[i - 1], rows[i]);
  EXPECT_LT(rows.back(), 1000);
}

// Whole pieces, however the source fuses them, are what a sample of all rows is.
TEST(SampleRows, HasTheRowsOfItsPiece) {
  for (const char* family : {"llama", "phi3"}) {
    const TempDir dir;
    WriteTinyModel(dir.path(), family, {.hidden = 64, .intermediate = 128, .layers = 1});
    const auto source = std::move(*OpenModel(RealFileSystem(), dir.path()));
    const ModelDescription& model = source->description();
    for (size_t p = 0; p < model.pieces.size(); ++p) {
      const Piece& piece = model.pieces[p];
      if (piece.dims < 2) continue;
      const auto all = SampleRows(*source, p, piece.rows), some = SampleRows(*source, p, 3);
      ASSERT_OK(all);
      ASSERT_OK(some);
      EXPECT_EQ(all->of, piece.rows);
      EXPECT_EQ(all->rows, piece.rows);
      EXPECT_EQ(some->rows, std::min<int64_t>(3, piece.rows));
      const std::vector<int64_t> rows = SampledRows(piece.rows, 3);
      for (int64_t r = 0; r < some->rows; ++r)
        for (int64_t c = 0; c < piece.cols; ++c)
          ASSERT_EQ(some->values[static_cast<size_t>(r * piece.cols + c)],
                    all->values[static_cast<size_t>(rows[r] * piece.cols + c)]);
    }
  }
}

}  // namespace
}  // namespace quantfleet::pipeline
