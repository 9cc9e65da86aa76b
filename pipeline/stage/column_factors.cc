#include "pipeline/stage/column_factors.h"

#include <algorithm>
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
  changed_.wait(lock, [&] {
    slot = FindOrMakeRoom(input);
    return slot != nullptr && (slot->input != input || slot->built);
  });
  slot->last_use = ++uses_;
  ++slot->holders;
  if (slot->input == input) return Lease(this, slot);
  slot->input = input;
  slot->built = false;
  slot->factor.reset();
  lock.unlock();
  auto built = Build(input, columns);
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

absl::StatusOr<std::unique_ptr<const ColumnFactor>> ColumnFactors::Build(int64_t input,
                                                                         int64_t columns) {
  auto built = ColumnFactor::Build(columns, [&](uint64_t first, std::span<float> out) {
    return moments_->Read(input, first, out);
  });
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
