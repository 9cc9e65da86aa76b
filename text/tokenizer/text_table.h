// Finds the number of a text among many, without a copy of them. Immutable once filled, therefore
// thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace quantfleet::text {

class TextTable {
 public:
  // `texts` must outlive the table, and stay where it is; it may grow.
  explicit TextTable(const std::vector<std::string>& texts) : texts_(&texts) {}

  // Of equal texts the first counts. Returns the number that the text has.
  int32_t Insert(int32_t number) {
    if (2 * (count_ + 1) > slots_.size()) Grow();
    int32_t& slot = Slot(At(number));
    if (slot < 0) {
      slot = number;
      ++count_;
    }
    return slot;
  }
  // -1: there is none.
  int32_t Find(std::string_view text) const {
    return slots_.empty() ? -1 : const_cast<TextTable*>(this)->Slot(text);
  }

 private:
  std::string_view At(int32_t number) const { return (*texts_)[static_cast<size_t>(number)]; }
  int32_t& Slot(std::string_view text) {
    const size_t mask = slots_.size() - 1;
    for (size_t i = std::hash<std::string_view>()(text) & mask;; i = (i + 1) & mask)
      if (slots_[i] < 0 || At(slots_[i]) == text) return slots_[i];
  }
  void Grow() {
    const std::vector<int32_t> before = std::move(slots_);
    slots_.assign(before.empty() ? 1024 : before.size() * 2, -1);
    for (const int32_t number : before)
      if (number >= 0) Slot(At(number)) = number;
  }

  const std::vector<std::string>* texts_;
  std::vector<int32_t> slots_;  // a power of two of them, at least half of them free
  size_t count_ = 0;
};

}  // namespace quantfleet::text
