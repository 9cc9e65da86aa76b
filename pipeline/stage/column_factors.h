// The factors by which errors are fed back, shared by the workers: each is built once, by the
// worker that needs it first together with those that have to wait for a factor, and thrown away
// when its slot is wanted. A worker holds one at a time, so that one slot is enough. Thread-safe.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "pipeline/model/second_moments.h"
#include "pipeline/tensor/rounding/column_factor.h"

namespace quantfleet::pipeline {

class ColumnFactors {
  struct Slot;

 public:
  // The right to use a factor, until it ends.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { End(); }

    // Null: of no input, or of one whose moments do not allow feedback.
    const ColumnFactor* factor() const;

   private:
    friend class ColumnFactors;
    Lease(ColumnFactors* of, Slot* slot) : of_(of), slot_(slot) {}
    void End();

    ColumnFactors* of_ = nullptr;
    Slot* slot_ = nullptr;
  };

  // `moments` may be null where no lease is taken.
  explicit ColumnFactors(const SecondMoments* moments) : moments_(moments) {}
  // Before the first lease.
  void SetSlots(size_t slots) { slots_.resize(slots); }

  // Waits for the factor, or builds it. Errors name the input.
  absl::StatusOr<Lease> Take(int64_t input, int64_t columns);
  // What had to be done otherwise, by input: sentences for people.
  std::vector<std::string> Notes() const;

 private:
  struct Slot {
    int64_t input = -1;  // -1: empty
    bool built = false;
    int holders = 0;
    uint64_t last_use = 0;
    std::unique_ptr<const ColumnFactor> factor = {};
    // What is to be done next for one that is not built; null: nothing that others can do.
    const ColumnFactor::Task* task = nullptr;
    int64_t tasks = 0, begun = 0, done = 0;
  };

  Slot* FindOrMakeRoom(int64_t input);
  absl::StatusOr<std::unique_ptr<const ColumnFactor>> Build(Slot& slot, int64_t input,
                                                            int64_t columns);
  void RunTasks(Slot& slot, int64_t count, const ColumnFactor::Task& task);
  // False: there is no task left to begin.
  static bool RunNextTask(Slot& slot, std::unique_lock<std::mutex>& lock);
  bool HelpAny(std::unique_lock<std::mutex>& lock);
  void Release(Slot& slot);

  const SecondMoments* moments_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Slot> slots_;
  uint64_t uses_ = 0;
  std::map<int64_t, std::string> notes_;
};

}  // namespace quantfleet::pipeline
