// How the store's .cc files write protobuf messages into text columns and read them back. Private
// to daemon/store.
#pragma once

#include <soci/soci.h>

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
    return DataLoss("the database holds a damaged {} record; restore it from a backup",
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

// One more than the highest position in the table.
inline long long NextPosition(soci::session& sql, const char* table) {
  long long last = 0;
  sql << std::string("SELECT COALESCE(MAX(position), 0) FROM ") + table, soci::into(last);
  return last + 1;
}

}  // namespace quantfleet::daemon
