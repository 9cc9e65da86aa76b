#include "common/http/crowd.h"

namespace quantfleet::http {

Crowd::Entry Crowd::Enter(uint64_t id) {
  Entry entry;
  if (counts_.open >= limits_.most && limits_.gives_way && !waiting_.empty()) {
    entry.gives_way = waiting_.begin()->second;
    EndWaiting(*entry.gives_way);
    Leave(*entry.gives_way);
    ++counts_.gave_way;
  }
  if (counts_.open >= limits_.most) {
    ++counts_.refused;
    entry.kind =
        counts_.open < limits_.most + limits_.most_told ? Entry::Kind::kTold : Entry::Kind::kClosed;
    if (entry.kind == Entry::Kind::kClosed) return entry;
  }
  open_.insert(id);
  counts_.open = open_.size();
  return entry;
}

void Crowd::BeginWaiting(uint64_t id) {
  if (!open_.contains(id)) return;  // it has given way
  since_[id] = next_;
  waiting_[next_++] = id;
}

void Crowd::EndWaiting(uint64_t id) {
  const auto found = since_.find(id);
  if (found == since_.end()) return;
  waiting_.erase(found->second);
  since_.erase(found);
}

void Crowd::Leave(uint64_t id) {
  EndWaiting(id);
  open_.erase(id);
  counts_.open = open_.size();
}

}  // namespace quantfleet::http
