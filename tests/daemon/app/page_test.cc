// Lists: pages bounded by bytes too, and records that cannot be read.
#include "daemon/app/page.h"

#include <gmock/gmock.h>
#include <soci/soci.h>

#include "tests/daemon/app/app_fixture.h"

namespace quantfleet::daemon::app {
namespace {

using ::testing::ElementsAre;

class PageTest : public AppFixture {
 protected:
  PageTest() { jobs_.Stop(); }

  void Store(const std::string& id, size_t bytes) {
    v1::Device device;
    device.set_id(id);
    device.set_state(v1::Device::ACTIVE);
    device.set_class_reason(std::string(bytes, 'x'));
    ASSERT_OK(Once(*store_)->devices().Create({HashText("key of " + id), "list", device, 1000}));
  }
};

// 19 devices of 3.9 MB each were more than an answer may have.
TEST_F(PageTest, LargeRecordsComeOnSeveralPages) {
  for (int i = 10; i < 16; ++i) Store(fmt::format("d{}", i), 3'000'000);
  v1::ListDevicesRequest request;
  int devices = 0, pages = 0;
  do {
    const auto page = app_.devices.List(Operator("viewer"), request);
    ASSERT_OK(page);
    ASSERT_GT(page->devices_size(), 0);
    EXPECT_LE(page->ByteSizeLong(), kMaxPageBytes + 1000);
    devices += page->devices_size();
    request.set_page_token(page->next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(devices, 6);
  EXPECT_EQ(pages, 6);
}

TEST_F(PageTest, WhatCannotBeReadIsNamedBesideTheRest) {
  for (const char* id : {"d1", "d2", "d3"}) Store(id, 1);
  soci::session("sqlite3", "db=" + (dir_ / "state.db").string())
      << "UPDATE devices SET record = 'CgX_' WHERE id = 'd2'";
  const auto page = app_.devices.List(Operator("viewer"), {});
  ASSERT_OK(page);
  EXPECT_EQ(page->devices_size(), 2);
  EXPECT_THAT(page->damaged(), ElementsAre("device d2"));
}

}  // namespace
}  // namespace quantfleet::daemon::app
