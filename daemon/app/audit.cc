#include "daemon/app/audit.h"

#include <charconv>

#include "daemon/app/collections.h"
#include "daemon/app/page.h"

namespace quantfleet::daemon::app {
namespace {

AuditStore::Filter FilterOf(const v1::ListAuditRequest& request) {
  AuditStore::Filter filter;
  filter.since_ms = request.since_ms();
  filter.oldest_first = request.oldest_first();
  filter.caller = request.caller();
  if (!filter.caller.empty() && filter.caller.find('/') == std::string::npos)
    filter.caller = "operators/" + filter.caller;
  if (request.object().empty()) return filter;
  if (request.object().find('/') != std::string::npos) {
    filter.objects = {request.object()};
    return filter;
  }
  // Whichever it is of.
  for (const Collection& collection : kCollections)
    filter.objects.push_back(InCollection(&collection, request.object()));
  return filter;
}

// What a page's token has behind the position: it belongs to these filters.
std::string Seal(const v1::ListAuditRequest& request) {
  v1::ListAuditRequest filters = request;
  filters.clear_page_size();
  filters.clear_page_token();
  return HashText(filters.SerializeAsString()).hex().substr(0, 12);
}

absl::StatusOr<uint64_t> PositionIn(const v1::ListAuditRequest& request) {
  const std::string& token = request.page_token();
  if (token.empty()) return uint64_t{0};
  uint64_t position = 0;
  const char* const end = token.data() + token.size();
  const auto [at, error] = std::from_chars(token.data(), end, position);
  if (error != std::errc() || position == 0 || std::string_view(at, end) != "-" + Seal(request))
    return InvalidArgument(
        "page_token: not a token of this request: repeat its filters as they are");
  return position;
}

}  // namespace

absl::StatusOr<v1::ListAuditResponse> Audit::List(const Caller& caller,
                                                  const v1::ListAuditRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  if (request.since_ms() < 0) return InvalidArgument("since_ms must not be negative");
  QF_ASSIGN_OR_RETURN(const uint64_t after, PositionIn(request));
  const AuditStore::Filter filter = FilterOf(request);
  v1::ListAuditResponse response;
  QF_RETURN_IF_ERROR(FillPage(
      request, response, response.mutable_entries(),
      [&](std::string_view, size_t limit) {
        return backend_.store.Read(
            [&](const Transaction& tx) { return tx.audit().List(filter, after, limit); });
      },
      [&](const v1::AuditEntry& entry) {
        return fmt::format("{}-{}", entry.decoded().position(), Seal(request));
      }));
  return response;
}

}  // namespace quantfleet::daemon::app
