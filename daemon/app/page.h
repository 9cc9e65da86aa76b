// Pages of lists. A page's token is the key of its last entry.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::daemon::app {

inline constexpr uint32_t kMaxPerPage = 1000;

// How many entries a page has when `asked` are asked for; 0: as many as allowed.
inline size_t PageSize(uint32_t asked) {
  return asked == 0 ? kMaxPerPage : std::min(asked, kMaxPerPage);
}

// Moves a page into a response's `list`. `read(after, limit)` gives up to `limit` entries above
// `after`, in order; one more than asked for shows whether there is a next page.
template <typename Request, typename Response, typename List, typename Read, typename Key>
absl::Status FillPage(const Request& request, Response& response, List* list, const Read& read,
                      const Key& key) {
  const size_t size = PageSize(request.page_size());
  QF_ASSIGN_OR_RETURN(auto entries, read(request.page_token(), size + 1));
  if (entries.size() > size) {
    entries.resize(size);
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
