#include "pipeline/stage/column_factors.h"

#include <algorithm>
#include <new>
#include <utility>

namespace quantfleet::pipeline {

ColumnFactors::Lease& ColumnFactors::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  End();
  of_ = std::exchange(other.of_, nullptr);
  slot_ = std::exchange(other.slot_, nullptr);
  return *this;
}

void ColumnFactors::Lease::End() {
  if (slot_ != nullptr) of_->Release(*slot_);
  slot_ = nullptr;
}

const ColumnFactor* ColumnFactors::Lease::factor() const {
  return slot_ == nullptr ? nullptr : slot_->factor.get();
}

absl::StatusOr<ColumnFactors::Lease> ColumnFactors::Take(int64_t input, int64_t columns) {
  std::unique_lock lock(mutex_);
  Slot* slot = nullptr;
  for (;;) {
    slot = FindOrMakeRoom(input);
    if (slot != nullptr && (slot->input != input || slot->built)) break;
    if (!HelpAny(lock)) changed_.wait(lock);
  }
  slot->last_use = ++uses_;
  ++slot->holders;
  if (slot->input == input) return Lease(this, slot);
  slot->input = input;
  slot->built = false;
  slot->factor.reset();
  lock.unlock();
  absl::StatusOr<std::unique_ptr<const ColumnFactor>> built;
  try {
    built = Build(*slot, input, columns);
  } catch (const std::bad_alloc&) {
    built = ResourceExhausted("no memory for a factor of {} columns: use fewer threads", columns);
  }
  lock.lock();
  if (!built.ok()) {  // whoever waits for it finds out in its turn
    slot->input = -1;
    --slot->holders;
    changed_.notify_all();
    return built.status();
  }
  slot->factor = *std::move(built);
  slot->built = true;
  changed_.notify_all();
  return Lease(this, slot);
}

// The input's slot, or else the one that nobody holds and that was used longest ago; null: none.
ColumnFactors::Slot* ColumnFactors::FindOrMakeRoom(int64_t input) {
  const auto it = std::ranges::find(slots_, input, &Slot::input);
  if (it != slots_.end()) return &*it;
  Slot* oldest = nullptr;
  for (Slot& slot : slots_)
    if (slot.holders == 0 && (oldest == nullptr || slot.last_use < oldest->last_use))
      oldest = &slot;
  return oldest;
}

bool ColumnFactors::RunNextTask(Slot& slot, std::unique_lock<std::mutex>& lock) {
  if (slot.task == nullptr || slot.begun == slot.tasks) return false;
  const ColumnFactor::Task& task = *slot.task;
  const int64_t number = slot.begun++;
  lock.unlock();
  task(number);
  lock.lock();
  ++slot.done;
  return true;
}

bool ColumnFactors::HelpAny(std::unique_lock<std::mutex>& lock) {
  for (Slot& slot : slots_) {
    if (!RunNextTask(slot, lock)) continue;
    if (slot.done == slot.tasks) changed_.notify_all();
    return true;
  }
  return false;
}

void ColumnFactors::RunTasks(Slot& slot, int64_t count, const ColumnFactor::Task& task) {
  std::unique_lock lock(mutex_);
  slot.tasks = count;
  slot.begun = slot.done = 0;
  slot.task = &task;
  changed_.notify_all();
  while (RunNextTask(slot, lock)) {
  }
  changed_.wait(lock, [&] { return slot.done == slot.tasks; });
  slot.task = nullptr;
}

absl::StatusOr<std::unique_ptr<const ColumnFactor>> ColumnFactors::Build(Slot& slot, int64_t input,
                                                                         int64_t columns) {
  auto built = ColumnFactor::Build(
      columns,
      [&](uint64_t first, std::span<float> out) { return moments_->Read(input, first, out); },
      [&](int64_t count, const ColumnFactor::Task& task) { RunTasks(slot, count, task); });
  const std::string& name = moments_->NameOf(input);
  if (absl::IsFailedPrecondition(built.status())) {
    const std::lock_guard lock(mutex_);
    notes_[input] = fmt::format("'{}': {}: rounded by search", name, Message(built.status()));
    return nullptr;
  }
  if (!built.ok()) return Annotate(built.status(), fmt::format("'{}'", name));
  if (built->damping() > ColumnFactor::kDamping) {
    const std::lock_guard lock(mutex_);
    notes_[input] =
        fmt::format("'{}' is not positive definite: damped by {} instead of {} of its mean", name,
                    built->damping(), ColumnFactor::kDamping);
  }
  return std::make_unique<const ColumnFactor>(*std::move(built));
}

void ColumnFactors::Release(Slot& slot) {
  const std::lock_guard lock(mutex_);
  --slot.holders;
  changed_.notify_all();
}

std::vector<std::string> ColumnFactors::Notes() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> notes;
  for (const auto& [input, note] : notes_) notes.push_back(note);
  return notes;
}

}  // namespace quantfleet::pipeline
