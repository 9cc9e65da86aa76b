// How the store's .cc files write protobuf messages into text columns and read them back. Private
// to daemon/store.
#pragma once

#include <soci/soci.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/status.h"

namespace quantfleet::daemon {

template <typename Message>
std::string Pack(const Message& message) {
  return ToBase64Url(AsBytes(message.SerializeAsString()));
}

template <typename Message>
absl::StatusOr<Message> Unpack(std::string_view text) {
  auto bytes = FromBase64Url(text);
  Message message;
  if (!bytes || !message.ParseFromArray(bytes->data(), static_cast<int>(bytes->size())))
    return DataLoss("the database contains a damaged {} record: restore it from a backup",
                    Message().GetTypeName());
  return message;
}

// All rows of a query of one text column.
template <typename... Parameters>
std::vector<std::string> SelectTexts(soci::session& sql, const std::string& query,
                                     const Parameters&... parameters) {
  std::vector<std::string> all;
  std::string text;
  soci::statement rows(sql);
  rows.alloc();
  rows.prepare(query);
  (rows.exchange(soci::use(parameters)), ...);
  rows.exchange(soci::into(text));
  rows.define_and_bind();
  rows.execute();
  while (rows.fetch()) all.push_back(text);
  return all;
}

// The same, each text a packed message.
template <typename Message, typename... Parameters>
absl::StatusOr<std::vector<Message>> SelectAll(soci::session& sql, const std::string& query,
                                               const Parameters&... parameters) {
  std::vector<Message> messages;
  for (const std::string& text : SelectTexts(sql, query, parameters...)) {
    QF_ASSIGN_OR_RETURN(Message message, Unpack<Message>(text));
    messages.push_back(std::move(message));
  }
  return messages;
}

// By a text field, in the order of its bytes, whatever the database's collation.
template <typename Record, typename Projection>
void SortBy(std::vector<Record>& records, Projection projection) {
  std::ranges::sort(records, {}, projection);
}

// The next position in the table. A row of its own counts them: two that ask at the same time wait
// for each other, and none gets a number that was used before.
inline long long NextPosition(soci::session& sql, const std::string& name) {
  long long next = 0;
  sql << "INSERT INTO counters (name, value) VALUES (:n, 1)"
         " ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
      soci::use(name), soci::into(next);
  return next;
}

}  // namespace quantfleet::daemon
