// What `loop` says in a for block. It looks ahead only when it is asked to: what is ahead may
// depend on what the block does.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace quantfleet::jinja {

class Loop {
 public:
  // `length`: where it is known; `recurse`: what a call of `loop` does, in recursive loops.
  Loop(std::shared_ptr<Iterator> iterator, std::optional<size_t> length, int64_t depth,
       std::shared_ptr<const Callable> recurse)
      : iterator_(std::move(iterator)),
        length_(length),
        depth_(depth),
        recurse_(std::move(recurse)) {}

  // The next element; false: there are no more.
  absl::StatusOr<bool> Advance(Machine& machine, Value& element);
  // nullopt: it has no such attribute.
  absl::StatusOr<std::optional<Value>> Attribute(Machine& machine, std::string_view name);
  Value Cycle(const std::vector<Value>& of) const;
  bool Changed(const std::vector<Value>& now);
  const std::shared_ptr<const Callable>& recurse() const { return recurse_; }
  int64_t depth() const { return depth_; }

 private:
  absl::StatusOr<bool> Peek(Machine& machine);
  absl::StatusOr<int64_t> Length(Machine& machine);

  std::shared_ptr<Iterator> iterator_;
  std::optional<size_t> length_;
  int64_t index_ = -1, depth_;
  std::shared_ptr<const Callable> recurse_;
  std::optional<Value> current_, before_;
  std::vector<Value> ahead_;  // read, not given yet
  size_t ahead_at_ = 0;
  std::optional<std::vector<Value>> last_changed_;
};

}  // namespace quantfleet::jinja
