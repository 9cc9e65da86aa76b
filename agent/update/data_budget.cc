#include "agent/update/data_budget.h"

#include <charconv>
#include <map>

#include "agent/platform/record.h"

namespace quantfleet::agent {
namespace {

constexpr int64_t kKeptDays = 366;  // the longest budget

// The days of a record, and what was pulled in each; nullopt for one that is damaged.
std::optional<std::map<int64_t, uint64_t>> DaysOf(const Record& record) {
  std::map<int64_t, uint64_t> days;
  for (const auto& [name, text] : record) {
    int64_t day = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), day);
    const auto bytes = NumberField(record, name);
    if (error != std::errc() || end != name.data() + name.size() || !bytes) return std::nullopt;
    days[day] = *bytes;
  }
  return days;
}

}  // namespace

int64_t DataBudget::Today() const { return ToUnixMillis(clock_.Now()) / (24 * 3600 * 1000); }

uint64_t DataBudget::Left(const v1::NetworkPolicy& policy) const {
  const std::lock_guard lock(mutex_);
  const auto record = ReadRecord(files_, file_);
  if (record.status().code() == absl::StatusCode::kNotFound) return policy.budget_bytes();
  const auto days = record.ok() ? DaysOf(*record) : std::nullopt;
  if (!days) return 0;
  uint64_t spent = 0;
  // Future days count too: the clock was wrong, but the bytes were downloaded.
  for (const auto& [day, bytes] : *days)
    if (day > Today() - int64_t{policy.budget_days()}) spent += bytes;
  return spent < policy.budget_bytes() ? policy.budget_bytes() - spent : 0;
}

absl::Status DataBudget::Spend(uint64_t bytes) {
  return Change([bytes](uint64_t today) { return today + bytes; });
}

absl::Status DataBudget::TakeBack(uint64_t bytes) {
  return Change([bytes](uint64_t today) { return today - std::min(today, bytes); });
}

absl::Status DataBudget::Change(const std::function<uint64_t(uint64_t)>& change) {
  const std::lock_guard lock(mutex_);
  const auto record = ReadRecord(files_, file_);
  std::map<int64_t, uint64_t> days;
  if (record.ok()) days = DaysOf(*record).value_or(days);
  uint64_t& today = days[Today()];
  today = change(today);
  Record kept;
  for (const auto& [day, spent] : days)
    if (day > Today() - kKeptDays) kept.emplace(std::to_string(day), std::to_string(spent));
  return WriteRecord(files_, file_, kept);
}

}  // namespace quantfleet::agent
