#include "common/toml/toml_reader.h"
#include "tests/support/status_matchers.h"

namespace quantfleet {
namespace {

absl::Status ReadOne(std::string_view text) {
  QF_ASSIGN_OR_RETURN(TomlReader reader, TomlReader::Parse(text));
  int64_t number = 0;
  reader.Read("a.number", number, 1, 9);
  return reader.Finish();
}

TEST(TomlStrictness, WhatIsNotAskedForIsAnError) {
  EXPECT_OK(ReadOne("[a]\nnumber = 3\n"));
  EXPECT_OK(ReadOne(""));
  for (const char* text : {"[a]\nnumber = 3\nother = 1\n", "[b]\nnumber = 3\n", "c = 1\n"})
    EXPECT_EQ(ReadOne(text).code(), absl::StatusCode::kInvalidArgument) << text;
}

TEST(TomlStrictness, AnotherTypeAndAnotherRangeAreErrors) {
  for (const char* text : {"[a]\nnumber = '3'\n", "[a]\nnumber = 3.5\n", "[a]\nnumber = 10\n",
                           "[a]\nnumber = 0\n", "a = 3\n", "[a]\nnumber = 3\nnumber = 4\n", "[a\n"})
    EXPECT_EQ(ReadOne(text).code(), absl::StatusCode::kInvalidArgument) << text;
}

}  // namespace
}  // namespace quantfleet
