#include "common/toml/depth.h"

#include <gtest/gtest.h>

#include <string>

#include "common/toml/toml_reader.h"

namespace quantfleet {
namespace {

std::string Repeated(std::string_view part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

bool Refused(const std::string& text) {
  return absl::IsInvalidArgument(CheckTomlDepth(text)) &&
         absl::IsInvalidArgument(TomlReader::Parse(text).status());
}

TEST(TomlDepth, DeepDocumentsAreRefusedBeforeTheyAreParsed) {
  EXPECT_TRUE(Refused(Repeated("a.", 31'000) + "a=1"));
  EXPECT_TRUE(Refused("[" + Repeated("a.", 31'000) + "a]"));
  EXPECT_TRUE(Refused(Repeated("\"a\" . ", 9'000) + "a=1"));
  EXPECT_TRUE(Refused("a=" + Repeated("[", 60'000)));
  EXPECT_TRUE(Refused("a=" + Repeated("{a=", 20'000)));
  EXPECT_TRUE(Refused("a={" + Repeated("a.", 30'000) + "a=1}"));
  EXPECT_TRUE(Refused("x='''\n''''' # \" \n" + Repeated("a.", 30'000) + "a=1"));
  EXPECT_TRUE(Refused("x=[\"\"\"y\"\"\"\", {" + Repeated("a.", 30'000) + "a=1}]"));
}

TEST(TomlDepth, DotsInStringsAndCommentsAreNotDepth) {
  const std::string dots = Repeated("a.[{", 100);
  EXPECT_TRUE(TomlReader::Parse("# " + dots + "\na=\"" + dots + "\\\"" + dots + "\"\nb='" + dots +
                                "'\nc=\"\"\"\n" + dots + "\"\"\"\nd=[1.5, 2.5]\n")
                  .ok());
  EXPECT_TRUE(TomlReader::Parse("a.b.c.d.e=1\n[f.g.h]\ni={j={k=[[1]]}}\n").ok());
}

TEST(TomlDepth, NamesTheLine) {
  const absl::Status status = CheckTomlDepth("a=1\nb=2\n" + Repeated("a.", 40) + "a=1");
  EXPECT_TRUE(Message(status).starts_with("line 3:")) << status;
}

}  // namespace
}  // namespace quantfleet
