#include "engine/kernels/in_groups.h"

#include <gmock/gmock.h>

#include <vector>

namespace quantfleet::engine {
namespace {

using Group = std::pair<int64_t, int>;  // the first token, how many

std::vector<Group> GroupsOf(int64_t tokens) {
  std::vector<Group> groups;
  InGroups(std::integer_sequence<int, 8, 4, 1>(), tokens,
           [&]<int kTokens>(int64_t t) { groups.emplace_back(t, kTokens); });
  return groups;
}

TEST(InGroups, LargeGroupsFirstAndEveryTokenOnce) {
  EXPECT_THAT(GroupsOf(0), ::testing::IsEmpty());
  EXPECT_THAT(GroupsOf(8), ::testing::ElementsAre(Group(0, 8)));
  EXPECT_THAT(GroupsOf(22), ::testing::ElementsAre(Group(0, 8), Group(8, 8), Group(16, 4),
                                                   Group(20, 1), Group(21, 1)));
}

}  // namespace
}  // namespace quantfleet::engine
