#include "pipeline/model/shard_name.h"

#include <gtest/gtest.h>

namespace quantfleet::pipeline {
namespace {

TEST(ShardName, SaysWhichOfHowMany) {
  const auto name = ParseShardName("a-b-00002-of-00013.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->model, "a-b");
  EXPECT_EQ(name->number, 2u);
  EXPECT_EQ(name->count, 13u);
  EXPECT_EQ(name->File(13), "a-b-00013-of-00013.gguf");
}

TEST(ShardName, OtherNamesAreNone) {
  for (const char* name :
       {"", "a.gguf", "a-00001-of-00002.bin", "a-0001-of-00002.gguf", "a-00003-of-00002.gguf",
        "a-00000-of-00002.gguf", "a-00001-of-00000.gguf", "a00001-of-00002.gguf",
        "a-00001of-00002.gguf", "a-0000x-of-00002.gguf", "-of-00002.gguf", "00001-of-00002.gguf"})
    EXPECT_FALSE(ParseShardName(name)) << name;
}

}  // namespace
}  // namespace quantfleet::pipeline
