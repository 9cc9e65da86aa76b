// A store of each database that there is, empty, for tests that run against them all.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "daemon/store/sqlite/sqlite_store.h"
#include "tests/daemon/store/once.h"
#include "tests/daemon/store/rehearsing_store.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {

struct StoreBackend {
  std::string name;
  // Opens the database in that folder, or makes it.
  std::function<absl::StatusOr<std::unique_ptr<Store>>(const fs::path& folder)> open;
};
inline std::ostream& operator<<(std::ostream& out, const StoreBackend& backend) {
  return out << backend.name;
}

// A row for each database.
inline std::vector<StoreBackend> StoreBackends() {
  const auto sqlite = [](const fs::path& folder) {
    return OpenSqliteStore(folder / "state with space.db");
  };
  return {{"Sqlite", sqlite},
          {"SqliteRehearsed",
           [sqlite](const fs::path& folder) -> absl::StatusOr<std::unique_ptr<Store>> {
             QF_ASSIGN_OR_RETURN(auto real, sqlite(folder));
             return std::make_unique<RehearsingStore>(std::move(real));
           }}};
}
inline std::string BackendName(const ::testing::TestParamInfo<StoreBackend>& info) {
  return info.param.name;
}

class StoreFixture : public ::testing::TestWithParam<StoreBackend> {
 protected:
  StoreFixture() { Reopen(); }
  void Reopen() {
    store_.reset();
    auto store = GetParam().open(dir_.path());
    ASSERT_OK(store);
    store_ = *std::move(store);
  }

  static v1::Model SomeModel(const std::string& name, uint64_t parameters = 7) {
    v1::Model model;
    model.set_name(name);
    model.set_parameters(parameters);
    return model;
  }
  static JobRecord SomeJob(const std::string& name) {
    JobRecord job;
    job.job.set_name(name);
    job.job.set_state(v1::Job::QUEUED);
    job.source_path = "/models/m";
    job.targets = {"gguf:q4_0", "gguf:f16"};
    return job;
  }
  static Enrollment SomeEnrollment(const std::string& id, const std::string& admission = "list",
                                   int64_t now_ms = 1000) {
    v1::Device device;
    device.set_id(id);
    device.set_state(v1::Device::ACTIVE);
    device.set_enrolled_ms(now_ms);
    device.set_admitted_by(admission);
    (*device.mutable_labels())["site"] = "berlin";
    return {HashText("key of " + id), admission, device, now_ms};
  }
  v1::Device Enroll(const std::string& id, const std::string& admission = "token t1") {
    auto device = Once(*store_)->devices().Create(SomeEnrollment(id, admission));
    EXPECT_OK(device);
    return device.ok() ? *device : v1::Device();
  }
  // Heard of, as a check-in does it.
  void Touch(const std::string& id, int64_t now_ms) {
    ASSERT_OK(store_->Write([&](Transaction& tx) -> absl::Status {
      QF_ASSIGN_OR_RETURN(const v1::Device device, tx.devices().Get(id));
      tx.devices().Touch(device, now_ms);
      return absl::OkStatus();
    }));
  }

  testing::TempDir dir_;
  std::unique_ptr<Store> store_;
};

}  // namespace quantfleet::daemon
