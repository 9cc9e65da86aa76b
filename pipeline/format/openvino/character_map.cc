#include "pipeline/format/openvino/character_map.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/bytes.h"

namespace quantfleet::pipeline {
namespace {

// A unit's offset has this many values before it needs another form, which is not made here.
constexpr size_t kMaxUnits = size_t{1} << 21;
constexpr size_t kBlock = 256;  // what is looked at for one label
constexpr uint32_t kLeaf = 1U << 31, kHasLeaf = 1U << 8;
// No text has this byte, so that a free unit is nobody's child.
constexpr uint32_t kFreeUnit = 0xff;

using Entry = std::pair<std::string_view, uint32_t>;  // a text and where its replacement begins

class DoubleArray {
 public:
  // `entries` is sorted.
  absl::Status Build(const std::vector<Entry>& entries) {
    Grow(1);
    taken_[0] = true;
    units_[0] = 0;  // the root has no label
    return Place(entries, 0, 0, entries.size(), 0);
  }
  const std::vector<uint32_t>& units() const { return units_; }

 private:
  struct Child {
    uint8_t label;  // 0: the text ends here
    size_t begin, end;
  };

  // Entries [begin, end) have their first `depth` bytes in common and stand at `unit`.
  absl::Status Place(const std::vector<Entry>& entries, size_t unit, size_t begin, size_t end,
                     size_t depth) {
    std::vector<Child> children;
    for (size_t i = begin; i < end; ++i) {
      const std::string_view text = entries[i].first;
      const auto label = static_cast<uint8_t>(depth < text.size() ? text[depth] : '\0');
      if (children.empty() || children.back().label != label) children.push_back({label, i, i});
      children.back().end = i + 1;
    }
    const size_t base = FindBase(children);
    if (units_.size() > kMaxUnits) return Unimplemented("a map of characters is too large");
    bases_[base] = true;
    units_[unit] |= static_cast<uint32_t>(unit ^ base) << 10;
    for (const Child& child : children) {
      const size_t at = base ^ child.label;
      taken_[at] = true;
      units_[at] = child.label == 0 ? kLeaf | entries[child.begin].second : child.label;
      if (child.label == 0) units_[unit] |= kHasLeaf;
    }
    for (const Child& child : children)
      if (child.label != 0)
        QF_RETURN_IF_ERROR(Place(entries, base ^ child.label, child.begin, child.end, depth + 1));
    return absl::OkStatus();
  }

  // A place for all children at once that no other unit's children have: a label alone says whose
  // child a unit is.
  size_t FindBase(const std::vector<Child>& children) {
    // What is left free further in front is of little use, and looking there costs time.
    constexpr size_t kNear = 8 * kBlock;
    const size_t end = taken_.size();
    for (size_t at = end > kNear ? end - kNear : 0; at < end; ++at)
      if (const size_t base = at ^ children.front().label; Fits(base, children)) return base;
    Grow(end + 1);
    return end;
  }

  bool Fits(size_t base, const std::vector<Child>& children) const {
    return !bases_[base] && std::ranges::none_of(children, [&](const Child& child) {
      return taken_[base ^ child.label];
    });
  }

  void Grow(size_t units) {
    units_.resize(RoundUp(units, kBlock), kFreeUnit);
    taken_.resize(units_.size());
    bases_.resize(units_.size());
  }

  std::vector<uint32_t> units_;
  std::vector<bool> taken_, bases_;
};

}  // namespace

absl::StatusOr<std::string> BuildCharacterMap(const std::map<std::string, std::string>& entries) {
  std::string replacements;
  std::vector<Entry> sorted;
  sorted.reserve(entries.size());
  for (const auto& [text, replacement] : entries) {  // in the order of bytes
    sorted.emplace_back(text, static_cast<uint32_t>(replacements.size()));
    replacements += replacement;
    replacements += '\0';
  }
  DoubleArray array;
  if (!sorted.empty()) QF_RETURN_IF_ERROR(array.Build(sorted));
  const auto bytes = static_cast<uint32_t>(array.units().size() * sizeof(uint32_t));
  std::string out(sizeof bytes + bytes, '\0');
  std::memcpy(out.data(), &bytes, sizeof bytes);
  if (bytes > 0) std::memcpy(out.data() + sizeof bytes, array.units().data(), bytes);
  return out + replacements;
}

}  // namespace quantfleet::pipeline
