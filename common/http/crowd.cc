#include "common/http/crowd.h"

#include <algorithm>

namespace quantfleet::http {

size_t Crowd::StrangersOf(const std::string& address) const {
  const auto found = strangers_by_address_.find(address);
  return found == strangers_by_address_.end() ? 0 : found->second;
}

bool Crowd::StrangersMayCome(const std::string& address) const {
  return counts_.strangers < limits_.most_strangers &&
         StrangersOf(address) < limits_.most_strangers_per_address;
}

std::string Crowd::FullestAddress() const {
  const auto fullest =
      std::ranges::max_element(strangers_by_address_, {}, [](const auto& at) { return at.second; });
  return fullest == strangers_by_address_.end() ? std::string() : fullest->first;
}

std::optional<uint64_t> Crowd::LongestWaiting(bool strangers, const std::string* address,
                                              Instant since_before) const {
  for (const auto& [turn, waiting] : waiting_) {
    if (waiting.since > since_before) break;
    const Member& member = open_.at(waiting.id);
    if (strangers && !member.stranger) continue;
    if (address == nullptr || member.address == *address) return waiting.id;
  }
  return std::nullopt;
}

void Crowd::GiveWay(uint64_t id, Entry& entry) {
  entry.gives_way = id;
  Leave(id);
  ++counts_.gave_way;
}

Crowd::Entry Crowd::Enter(uint64_t id, const std::string& address, Instant now) {
  Entry entry;
  if (!StrangersMayCome(address)) {
    std::optional<uint64_t> out;
    if (StrangersOf(address) >= limits_.most_strangers_per_address) {
      out = LongestWaiting(/*strangers=*/true, &address, now - limits_.patience);
    } else if (const std::string fullest = FullestAddress();
               StrangersOf(fullest) > StrangersOf(address) + 1) {
      out = LongestWaiting(/*strangers=*/true, &fullest, Instant::max());
    }
    if (out) GiveWay(*out, entry);
    if (!StrangersMayCome(address)) return {Entry::Kind::kLater, entry.gives_way};
  }
  if (counts_.open >= limits_.most && limits_.gives_way) {
    auto out = LongestWaiting(/*strangers=*/true, nullptr, Instant::max());
    if (!out) out = LongestWaiting(/*strangers=*/false, nullptr, Instant::max());
    if (out) GiveWay(*out, entry);
  }
  if (counts_.open >= limits_.most) {
    ++counts_.refused;
    entry.kind = counts_.open < limits_.most + limits_.most_turned_away ? Entry::Kind::kTurnedAway
                                                                        : Entry::Kind::kClosed;
    if (entry.kind == Entry::Kind::kClosed) return entry;
  }
  open_.emplace(id, Member{address, true, std::nullopt});
  ++strangers_by_address_[address];
  ++counts_.strangers;
  counts_.open = open_.size();
  return entry;
}

void Crowd::BeginWaiting(uint64_t id, Instant now) {
  const auto found = open_.find(id);
  if (found == open_.end()) return;  // it has given way
  EndWaiting(id);
  found->second.turn = next_turn_;
  waiting_[next_turn_++] = {id, now};
}

void Crowd::EndWaiting(uint64_t id) {
  const auto found = open_.find(id);
  if (found == open_.end() || !found->second.turn) return;
  waiting_.erase(*found->second.turn);
  found->second.turn.reset();
}

void Crowd::Recognize(uint64_t id) {
  const auto found = open_.find(id);
  if (found == open_.end() || !found->second.stranger) return;
  found->second.stranger = false;
  --counts_.strangers;
  const auto at = strangers_by_address_.find(found->second.address);
  if (--at->second == 0) strangers_by_address_.erase(at);
}

void Crowd::Leave(uint64_t id) {
  EndWaiting(id);
  Recognize(id);
  open_.erase(id);
  counts_.open = open_.size();
}

}  // namespace quantfleet::http
