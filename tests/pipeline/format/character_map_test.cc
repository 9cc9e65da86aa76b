#include "pipeline/format/openvino/character_map.h"

#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <vector>

#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

// The table as its readers take it: the longest text that another begins with, and its replacement.
class Table {
 public:
  explicit Table(const std::string& bytes) {
    uint32_t size = 0;
    std::memcpy(&size, bytes.data(), sizeof size);
    EXPECT_EQ(size % 1024, 0u);
    units_.resize(size / sizeof(uint32_t));
    std::memcpy(units_.data(), bytes.data() + sizeof size, size);
    replacements_ = bytes.substr(sizeof size + size);
  }

  std::optional<std::pair<size_t, std::string>> Find(std::string_view text) const {
    std::optional<std::pair<size_t, std::string>> found;
    size_t at = units_[0] >> 10;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto label = static_cast<uint8_t>(text[i]);
      at ^= label;
      if (at >= units_.size() || (units_[at] & 0x800000ff) != label) break;
      const bool ends = (units_[at] & 0x100) != 0;
      at ^= units_[at] >> 10;
      if (ends) found = {i + 1, replacements_.c_str() + (units_[at] & 0x7fffffff)};
    }
    return found;
  }

 private:
  std::vector<uint32_t> units_;
  std::string replacements_;
};

TEST(CharacterMap, TheLongestTextCounts) {
  const auto made =
      BuildCharacterMap({{"a", "1"}, {"ab", ""}, {"abcd", "two"}, {"\xC3\xA4", "ae"}});
  ASSERT_OK(made);
  const Table table(*made);
  EXPECT_EQ(table.Find("abc"), std::pair(size_t{2}, std::string()));
  EXPECT_EQ(table.Find("abcde"), std::pair(size_t{4}, std::string("two")));
  EXPECT_EQ(table.Find("ax"), std::pair(size_t{1}, std::string("1")));
  EXPECT_EQ(table.Find("\xC3\xA4"), std::pair(size_t{2}, std::string("ae")));
  EXPECT_EQ(table.Find("\xC3"), std::nullopt);
  EXPECT_EQ(table.Find("b"), std::nullopt);
  EXPECT_EQ(table.Find(std::string(1, '\0')), std::nullopt);
}

TEST(CharacterMap, ManyTextsKeepTheirOwnReplacements) {
  std::map<std::string, std::string> entries;
  for (int i = 0; i < 40'000; ++i) {
    const int x = i * 7919 % 65536;
    const std::string text{static_cast<char>(0xE0 | x >> 12),
                           static_cast<char>(0x80 | (x >> 6 & 63)),
                           static_cast<char>(0x80 | (x & 63))};
    entries[text] = std::to_string(i);
  }
  const auto made = BuildCharacterMap(entries);
  ASSERT_OK(made);
  EXPECT_LT(made->size(), size_t{2} << 20);
  const Table table(*made);
  for (const auto& [text, replacement] : entries)
    ASSERT_EQ(table.Find(text + "x"), std::pair(size_t{3}, replacement));
}

}  // namespace
}  // namespace quantfleet::pipeline
