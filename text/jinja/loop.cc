#include "text/jinja/loop.h"

namespace quantfleet::jinja {

absl::StatusOr<bool> Loop::Advance(Machine& machine, Value& element) {
  if (ahead_at_ < ahead_.size()) {
    element = std::move(ahead_[ahead_at_++]);
  } else {
    QF_ASSIGN_OR_RETURN(const bool more, iterator_->Next(machine, element));
    if (!more) return false;
  }
  if (ahead_at_ == ahead_.size()) {
    ahead_.clear();
    ahead_at_ = 0;
  }
  ++index_;
  before_ = std::move(current_);
  current_ = element;
  return true;
}

absl::StatusOr<bool> Loop::Peek(Machine& machine) {
  if (ahead_at_ < ahead_.size()) return true;
  Value next;
  QF_ASSIGN_OR_RETURN(const bool more, iterator_->Next(machine, next));
  if (more) ahead_.push_back(std::move(next));
  return more;
}

absl::StatusOr<int64_t> Loop::Length(Machine& machine) {
  if (!length_) {
    while (true) {
      Value next;
      QF_ASSIGN_OR_RETURN(const bool more, iterator_->Next(machine, next));
      if (!more) break;
      ahead_.push_back(std::move(next));
    }
    length_ = static_cast<size_t>(index_ + 1) + ahead_.size() - ahead_at_;
  }
  return static_cast<int64_t>(*length_);
}

absl::StatusOr<std::optional<Value>> Loop::Attribute(Machine& machine, std::string_view name) {
  if (name == "index0") return Value(index_);
  if (name == "index") return Value(index_ + 1);
  if (name == "first") return Value(index_ == 0);
  if (name == "depth") return Value(depth_ + 1);
  if (name == "depth0") return Value(depth_);
  if (name == "last") {
    QF_ASSIGN_OR_RETURN(const bool more, Peek(machine));
    return Value(!more);
  }
  if (name == "previtem")
    return index_ > 0 && before_ ? *before_ : Value::Missing("there is no previous item");
  if (name == "nextitem") {
    QF_ASSIGN_OR_RETURN(const bool more, Peek(machine));
    return more ? ahead_[ahead_at_] : Value::Missing("there is no next item");
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    QF_ASSIGN_OR_RETURN(const int64_t length, Length(machine));
    return Value(name == "length" ? length : length - index_ - (name == "revindex" ? 0 : 1));
  }
  return std::nullopt;
}

Value Loop::Cycle(const std::vector<Value>& of) const {
  return of[static_cast<size_t>(index_) % of.size()];
}

bool Loop::Changed(const std::vector<Value>& now) {
  const auto same = [&] {
    if (!last_changed_ || last_changed_->size() != now.size()) return false;
    for (size_t i = 0; i < now.size(); ++i)
      if (!Equal((*last_changed_)[i], now[i])) return false;
    return true;
  };
  if (same()) return false;
  last_changed_ = now;
  return true;
}

}  // namespace quantfleet::jinja
