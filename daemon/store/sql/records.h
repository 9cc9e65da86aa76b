// How the store's .cc files write protobuf messages into text columns and read them back: every
// record passes through common/message on its way in, so that whatever stands in its strings it can
// be read again, and on its way out, so that one of before that could not is mended. Private to
// daemon/store.
#pragma once

#include <soci/soci.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/message/clean.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {

template <typename Message>
std::string Pack(const Message& message) {
  return ToBase64Url(AsBytes(SerializeClean(message)));
}

template <typename Message>
absl::StatusOr<Message> Unpack(std::string_view text) {
  const auto bytes = FromBase64Url(text);
  if (bytes)
    if (auto message = ParseClean<Message>(AsText(*bytes)); message.ok()) return message;
  return DataLoss("the database contains a damaged {} record: restore it from a backup",
                  Message::descriptor()->name());
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

// All messages that a query of two text columns, name and record, finds. One that is damaged is
// left out, so that it does not hide the others, and noted as Transaction::damaged has it; `kind`
// says what it is.
template <typename Message, typename... Parameters>
std::vector<Message> SelectAll(SqlContext& context, std::string_view kind, const std::string& query,
                               const Parameters&... parameters) {
  std::vector<Message> messages;
  std::string name, record;
  soci::statement rows(context.session);
  rows.alloc();
  rows.prepare(query);
  (rows.exchange(soci::use(parameters)), ...);
  rows.exchange(soci::into(name));
  rows.exchange(soci::into(record));
  rows.define_and_bind();
  rows.execute();
  while (rows.fetch()) {
    if (auto message = Unpack<Message>(record); message.ok())
      messages.push_back(*std::move(message));
    else
      context.damaged.push_back({std::string(kind), name});
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
inline long long NextPosition(soci::session& sql, const char* table) {
  const std::string name = table;
  long long next = 0;
  sql << "INSERT INTO counters (name, value) VALUES (:n, 1)"
         " ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
      soci::use(name), soci::into(next);
  return next;
}

}  // namespace quantfleet::daemon
