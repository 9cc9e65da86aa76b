// Pages of lists. A page's token is the key of its last entry.
#pragma once

#include <google/protobuf/message.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "daemon/store/transaction.h"

namespace quantfleet::daemon::app {

inline constexpr uint32_t kMaxPerPage = 1000;

// How many entries a page has when `asked` are asked for; 0: as many as allowed.
inline size_t PageSize(uint32_t asked) {
  return asked == 0 ? kMaxPerPage : std::min(asked, kMaxPerPage);
}

// An answer has at most so many bytes of entries, or one: less than any receiver takes.
inline constexpr size_t kMaxPageBytes = size_t{4} << 20;

// Names in the response what lists of the transaction left out.
template <typename Response>
void NameDamaged(const Transaction& tx, Response& response) {
  response.clear_damaged();
  for (const Damaged& record : tx.damaged())
    response.add_damaged(fmt::format("{} {}", record.kind, record.name));
}

inline size_t BytesOf(const std::string& entry) { return entry.size(); }
inline size_t BytesOf(const google::protobuf::Message& entry) { return entry.ByteSizeLong(); }

// Moves a page into a response's `list`. `read(after, limit)` gives up to `limit` entries above
// `after`, in order; one more than asked for shows whether there is a next page.
template <typename Request, typename Response, typename List, typename Read, typename Key>
absl::Status FillPage(const Request& request, Response& response, List* list, const Read& read,
                      const Key& key) {
  const size_t size = PageSize(request.page_size());
  QF_ASSIGN_OR_RETURN(auto entries, read(request.page_token(), size + 1));
  size_t fit = 0;
  for (size_t bytes = 0; fit < std::min(entries.size(), size); ++fit) {
    bytes += BytesOf(entries[fit]);
    if (fit > 0 && bytes > kMaxPageBytes) break;
  }
  if (fit < entries.size()) {
    entries.resize(fit);
    response.set_next_page_token(key(entries.back()));
  }
  for (auto& entry : entries) *list->Add() = std::move(entry);
  return absl::OkStatus();
}

template <typename List, typename T>
absl::Status FillList(List* list, absl::StatusOr<std::vector<T>> values) {
  if (!values.ok()) return values.status();
  for (T& value : *values) *list->Add() = std::move(value);
  return absl::OkStatus();
}

}  // namespace quantfleet::daemon::app
