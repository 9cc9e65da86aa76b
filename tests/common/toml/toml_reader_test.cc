#include "common/toml/toml_reader.h"

#include "tests/support/status_matchers.h"

namespace quantfleet {
namespace {

TEST(TomlReader, ReadsEachTypeAndLeavesAloneWhatIsAbsent) {
  auto reader = TomlReader::Parse(
      "text = 'a'\nwhole = 3\n[table]\nnumber = 1.5\nyes = true\nlist = ['x', 'y']\n"
      "[[rows]]\nname = 'first'\n[[rows]]\nname = 'second'\n");
  ASSERT_OK(reader.status());
  std::string text = "kept", name;
  int64_t whole = 0;
  double number = 0;
  bool yes = false;
  std::vector<std::string> list;
  std::vector<TomlReader> rows;
  EXPECT_FALSE(reader->Read("absent", text));
  EXPECT_EQ(text, "kept");
  EXPECT_TRUE(reader->Read("text", text) && reader->Read("whole", whole, 1, 3) &&
              reader->Read("table.number", number, 1, 2) && reader->Read("table.yes", yes) &&
              reader->Read("table.list", list) && reader->Read("rows", rows));
  EXPECT_OK(reader->Finish());
  EXPECT_EQ(list, (std::vector<std::string>{"x", "y"}));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].Line(), 9);
  EXPECT_TRUE(rows[1].Read("name", name));
  EXPECT_EQ(name, "second");
  EXPECT_OK(rows[1].Finish());
  EXPECT_ERROR(rows[0].Finish(), kInvalidArgument, "line 8", "name");
}

TEST(TomlReader, TellsKeysAndLines) {
  const auto reader = TomlReader::Parse("b = 1\n\na = [\n'x']\n[c]\nd = 2\n");
  ASSERT_OK(reader.status());
  std::vector<std::pair<std::string, int64_t>> keys;
  for (const TomlReader::Key& key : reader->Keys()) keys.emplace_back(key.name, key.line);
  EXPECT_EQ(keys, (std::vector<std::pair<std::string, int64_t>>{{"a", 3}, {"b", 1}, {"c", 5}}));
  EXPECT_EQ(reader->Line("c.d"), 6);
  EXPECT_EQ(reader->Line("absent"), 0);
}

TEST(TomlReader, ErrorsNameLineAndKey) {
  const auto whole = [](std::string_view text) {
    auto reader = TomlReader::Parse(text);
    if (!reader.ok()) return reader.status();
    int64_t value = 0;
    reader->Read("a.b", value, 0, 9);
    return reader->Finish();
  };
  EXPECT_OK(whole("[a]\nb = 9\n"));
  EXPECT_ERROR(whole("[a]\nb = 10\n"), kInvalidArgument, "line 2", "a.b");
  EXPECT_ERROR(whole("[a]\nb = 'x'\n"), kInvalidArgument, "line 2: a.b");
  EXPECT_ERROR(whole("\n[a]\nc = 1\n"), kInvalidArgument, "line 3", "a.c");
  EXPECT_ERROR(whole("a = 1\n"), kInvalidArgument, "line 1: a ");
  EXPECT_ERROR(whole("'a.b' = 1\n"), kInvalidArgument, "line 1", "\"a.b\"");
  EXPECT_ERROR(whole("a ="), kInvalidArgument, "line 1: ");
  EXPECT_ERROR(whole(std::string(70'000, '#')), kInvalidArgument, "70000 bytes");
}

}  // namespace
}  // namespace quantfleet
