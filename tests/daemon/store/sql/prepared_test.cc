#include "daemon/store/sql/prepared.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <soci/sqlite3/soci-sqlite3.h>

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PreparedTest : public ::testing::Test {
 protected:
  PreparedTest() {
    sql_ << "CREATE TABLE things (name TEXT PRIMARY KEY, size INTEGER)";
    Put("a", 1);
    Put("b", 2);
  }
  void Put(const std::string& name, int size) {
    prepared_.Execute("INSERT INTO things VALUES (:n, :s)", name, size);
  }
  std::vector<std::tuple<std::string, int>> AtLeast(int size) {
    return prepared_.Select<std::string, int>(
        "SELECT name, size FROM things WHERE size >= :s ORDER BY name", size);
  }

  soci::session sql_{soci::sqlite3, ":memory:"};
  Prepared prepared_{sql_};
};

TEST_F(PreparedTest, AKeptQueryAnswersAnewEachTime) {
  EXPECT_THAT(AtLeast(1), ElementsAre(std::tuple("a", 1), std::tuple("b", 2)));
  EXPECT_THAT(AtLeast(3), IsEmpty());
  Put("c", 3);
  EXPECT_THAT(AtLeast(2), ElementsAre(std::tuple("b", 2), std::tuple("c", 3)));
}

TEST_F(PreparedTest, NothingIsLeftOpen) {
  sql_.begin();
  EXPECT_THAT(AtLeast(2), ElementsAre(std::tuple("b", 2)));
  sql_.commit();
  sql_ << "DROP TABLE things";  // refused while a query is open
  EXPECT_THROW(AtLeast(1), soci::soci_error);
}

TEST_F(PreparedTest, OneThatFailedIsMadeAnew) {
  EXPECT_THROW(Put("a", 7), soci::soci_error);
  Put("d", 4);
  EXPECT_THAT(AtLeast(4), ElementsAre(std::tuple("d", 4)));
}

}  // namespace
}  // namespace quantfleet::daemon
