// What stands in a database, seen and changed from outside of the store.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <string>

namespace quantfleet::daemon {

// The last value of the query's first column.
inline std::string Ask(const std::filesystem::path& database, const std::string& query) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(database.c_str(), &db), SQLITE_OK);
  std::string answer;
  auto row = [](void* out, int, char** values, char**) {
    *static_cast<std::string*>(out) = values[0] == nullptr ? "" : values[0];
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(db, query.c_str(), row, &answer, nullptr), SQLITE_OK)
      << sqlite3_errmsg(db);
  sqlite3_close(db);
  return answer;
}

}  // namespace quantfleet::daemon
