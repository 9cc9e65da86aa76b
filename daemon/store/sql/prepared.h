// Queries that are asked at each check-in: prepared once for the session, since that takes longer
// than asking. Private to daemon/store; it belongs to its session, and to whoever holds that.
#pragma once

#include <soci/soci.h>

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace quantfleet::daemon {

class Prepared {
 public:
  explicit Prepared(soci::session& sql) : sql_(sql) {}

  // Returns all rows: no query is left open, so that the next call may use the same one. Throws as
  // soci does.
  template <typename... Columns, typename... Parameters>
  std::vector<std::tuple<Columns...>> Select(const std::string& query,
                                             const Parameters&... parameters) {
    std::unique_ptr<soci::statement> statement = Take(query);
    std::vector<std::tuple<Columns...>> rows;
    std::tuple<Columns...> row;
    (statement->exchange(soci::use(parameters)), ...);
    std::apply([&](auto&... columns) { (statement->exchange(soci::into(columns)), ...); }, row);
    statement->define_and_bind();
    statement->execute();
    while (statement->fetch()) rows.push_back(row);
    statement->bind_clean_up();
    Keep(query, std::move(statement));
    return rows;
  }
  template <typename... Parameters>
  void Execute(const std::string& query, const Parameters&... parameters) {
    std::unique_ptr<soci::statement> statement = Take(query);
    (statement->exchange(soci::use(parameters)), ...);
    statement->define_and_bind();
    statement->execute(true);
    statement->bind_clean_up();
    Keep(query, std::move(statement));
  }

 private:
  // A query that throws while it is taken is not kept.
  std::unique_ptr<soci::statement> Take(const std::string& query) {
    if (const auto kept = kept_.find(query); kept != kept_.end() && kept->second)
      return std::move(kept->second);
    auto made = std::make_unique<soci::statement>(sql_);
    made->alloc();
    made->prepare(query);
    return made;
  }
  void Keep(const std::string& query, std::unique_ptr<soci::statement> statement) {
    kept_[query] = std::move(statement);
  }

  soci::session& sql_;
  std::map<std::string, std::unique_ptr<soci::statement>> kept_;  // by query; empty: taken
};

}  // namespace quantfleet::daemon
