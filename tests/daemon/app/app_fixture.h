// All use cases over a real store and real keys, without a server.
#pragma once

#include <memory>
#include <string>

#include "daemon/app/app.h"
#include "pipeline/artifact/folder/folder_blob_store.h"
#include "tests/daemon/fleet/fleet_fixture.h"

namespace quantfleet::daemon::app {

class AppFixture : public FleetFixture {
 protected:
  AppFixture()
      : blobs_(RealFileSystem(), dir_ / "blobs"),
        models_(*store_, RealFileSystem(), random_, clock_, dir_.path()),
        jobs_({*store_, *authority_, blobs_, RealFileSystem(), random_, clock_}, {}),
        scrubber_({*store_, blobs_, RealFileSystem(), jobs_, clock_}, {}),
        app_({*store_, *authority_, models_, jobs_, scrubber_, blobs_, classes_, fleet_, rollouts_,
              clock_}) {}

  Caller Operator(std::string_view role) const {
    const trust::KeyPair key = trust::GenerateTlsKey();
    return {authority_
                ->IssueOperator(key.public_pem, std::string(role) + "-user", std::string(role),
                                std::chrono::hours(1))
                .value()};
  }
  Caller Device() {
    FakeDevice device;
    return {Enrolled(device).certificate_pem};
  }

  pipeline::FolderBlobStore blobs_;
  ModelRegistry models_;
  JobRunner jobs_;
  Scrubber scrubber_;
  App app_;
};

}  // namespace quantfleet::daemon::app
