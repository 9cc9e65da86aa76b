#include "daemon/fleet/groups.h"

#include "tests/daemon/fleet/fleet_fixture.h"
#include "tests/daemon/store/once.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class GroupsTest : public FleetFixture {
 protected:
  GroupsTest() {
    for (int i = 0; i < 3; ++i) {
      FakeDevice device;
      Enrolled(device);
      ids_.push_back(device.id);
    }
    std::ranges::sort(ids_);
  }
  static v1::DeviceGroup Group(std::map<std::string, std::string> selector,
                               std::vector<std::string> ids = {}) {
    v1::DeviceGroup group;
    group.set_name("lab");
    for (const auto& [key, value] : selector) (*group.mutable_selector())[key] = value;
    for (const std::string& id : ids) group.add_device_ids(id);
    return group;
  }
  absl::StatusOr<v1::DeviceGroup> Apply(const v1::DeviceGroup& group) {
    return ApplyGroup(*store_, group, clock_.Now());
  }
  std::vector<std::string> Members(std::string_view after = "", size_t limit = 100) {
    return store_
        ->Read([&](const Transaction& tx) -> absl::StatusOr<std::vector<std::string>> {
          QF_ASSIGN_OR_RETURN(const v1::DeviceGroup group, tx.groups().Get("lab"));
          return GroupMembers(tx, group, after, limit);
        })
        .value();
  }

  std::vector<std::string> ids_;
};

TEST_F(GroupsTest, MembersAreThoseOfNow) {
  ASSERT_OK(Apply(Group({{"site", "lab"}, {"ring", "early"}}, {ids_[2]})).status());
  EXPECT_THAT(Members(), ElementsAre(ids_[2]));
  ASSERT_OK(fleet_.Label(ids_[0], {{"site", "lab"}}, {}).status());
  EXPECT_THAT(Members(), ElementsAre(ids_[2])) << "all labels of the selector are wanted";
  ASSERT_OK(fleet_.Label(ids_[0], {{"ring", "early"}}, {}).status());
  EXPECT_THAT(Members(), ElementsAre(ids_[0], ids_[2]));
  EXPECT_THAT(Members("", 1), ElementsAre(ids_[0]));
  EXPECT_THAT(Members(ids_[0]), ElementsAre(ids_[2]));
  ASSERT_OK(Revoke(ids_[2]).status());
  EXPECT_THAT(Members(), ElementsAre(ids_[0]));
}

TEST_F(GroupsTest, WithoutASelectorOnlyListedDevicesBelong) {
  ASSERT_OK(Apply(Group({}, {ids_[1], ids_[0], ids_[1]})).status());
  EXPECT_THAT(Members(), ElementsAre(ids_[0], ids_[1]));
}

TEST_F(GroupsTest, ApplyingAgainReplacesAndKeepsTheTimeOfCreation) {
  const auto first = Apply(Group({}, {ids_[0]}));
  ASSERT_OK(first.status());
  clock_.Advance(std::chrono::seconds(5));
  const auto second = Apply(Group({}, {ids_[1]}));
  ASSERT_OK(second.status());
  EXPECT_EQ(second->created_ms(), first->created_ms());
  EXPECT_EQ(second->updated_ms(), first->updated_ms() + 5000);
  EXPECT_EQ(Once(*store_)->groups().List()->size(), 1u);
  EXPECT_THAT(Members(), ElementsAre(ids_[1]));
  ASSERT_OK(Once(*store_)->groups().Delete("lab").status());
  EXPECT_ERROR(Once(*store_)->groups().Delete("lab"), kNotFound, "quantfleet group apply lab");
  EXPECT_THAT(*Once(*store_)->groups().List(), IsEmpty());
}

TEST_F(GroupsTest, RefusesNonsenseByName) {
  v1::DeviceGroup group = Group({}, {ids_[0]});
  for (const char* name : {"", "-x", "a b", "../x"}) {
    group.set_name(name);
    EXPECT_ERROR(Apply(group), kInvalidArgument, fmt::format("\"{}\"", name));
  }
  EXPECT_ERROR(Apply(Group({})), kInvalidArgument, "lab");
  EXPECT_ERROR(Apply(Group({{"", "x"}})), kInvalidArgument, "selector");
  EXPECT_ERROR(Apply(Group({}, {ids_[0], "d-none"})), kNotFound, "d-none");
  EXPECT_ERROR(Apply(Group({}, std::vector<std::string>(kMaxListedDevices + 1, ids_[0]))),
               kInvalidArgument, std::to_string(kMaxListedDevices));
  EXPECT_THAT(*Once(*store_)->groups().List(), IsEmpty());
}

}  // namespace
}  // namespace quantfleet::daemon
