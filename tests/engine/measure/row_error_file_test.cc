#include "engine/measure/row_error_file.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::engine {
namespace {

using pipeline::DType;

TEST(RowErrorFile, IsReadAgainUnlessItIsDamagedOrOfSomethingElse) {
  const testing::TempDir dir;
  const fs::path path = dir.path() / kRowErrorsFile;
  FileSystem& files = RealFileSystem();
  RowErrorOrigin origin{.source = HashText("a model"),
                        .statistics = HashText("moments"),
                        .rounding = "feedback",
                        .rows = 256};
  const RowErrors errors{
      {}, {{DType::kQ4_0, 0.1 + 0.2}, {DType::kF16, 0.0}}, {{DType::kQ8_0, 1e-30}}};
  const RowErrors none(3);
  EXPECT_EQ(*ReadRowErrors(files, path, origin, 3), none) << "there is none";
  ASSERT_OK(WriteRowErrors(files, path, origin, errors));
  EXPECT_EQ(*ReadRowErrors(files, path, origin, 3), errors) << "to the last bit";

  const std::string whole = *files.ReadAll(path);
  origin.rounding = "search";
  EXPECT_EQ(*ReadRowErrors(files, path, origin, 3), none);
  origin.rounding = "feedback";
  for (const size_t cut : {size_t{0}, size_t{1}, whole.size() / 2, whole.size() - 3}) {
    ASSERT_OK(files.WriteAtomically(path, AsBytes(whole.substr(0, cut))));
    EXPECT_EQ(*ReadRowErrors(files, path, origin, 3), none) << cut;
  }
  const std::string digest = origin.digest().hex();
  ASSERT_OK(files.WriteAtomically(
      path, AsBytes(R"({"origin_digest":")" + digest +
                    R"(","errors":[7,{"q4_0":-1,"q8_0":"x","f99":1,"q5_0":2},{},{"q4_0":1}]})")));
  EXPECT_EQ(*ReadRowErrors(files, path, origin, 3), RowErrors({{}, {{DType::kQ5_0, 2.0}}, {}}));
}

}  // namespace
}  // namespace quantfleet::engine
