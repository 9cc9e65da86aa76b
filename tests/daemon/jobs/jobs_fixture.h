// A daemon's jobs room with everything around it: a data folder, a store, keys, blobs, device
// classes, a tiny model.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <set>

#include "daemon/jobs/job_runner.h"
#include "daemon/jobs/model_registry.h"
#include "daemon/store/sqlite/sqlite_store.h"
#include "pipeline/artifact/folder/folder_blob_store.h"
#include "tests/daemon/store/once.h"
#include "tests/support/eventually.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::daemon {

class JobsFixture : public ::testing::Test {
 protected:
  JobsFixture() {
    WriteModel(1);
    auto store = OpenSqliteStore(dir_ / "state.db");
    auto authority = Authority::Open(RealFileSystem(), clock_, dir_.path(), {});
    EXPECT_TRUE(store.ok() && authority.ok())
        << Describe(store.status()) << Describe(authority.status());
    store_ = std::move(*store);
    authority_ = std::move(*authority);
    for (const auto& [name, recipe] :
         {std::pair("iot", "q4_0"), {"mobile", "q4_0"}, {"edge", "f16"}}) {
      v1::DeviceClass device_class;
      device_class.set_name(name);
      device_class.set_format("gguf");
      device_class.set_recipe(recipe);
      EXPECT_TRUE(Once(*store_)->classes().Put(device_class).ok());
    }
  }

  // One layer: each slab costs several fsyncs.
  void WriteModel(uint64_t seed) {
    testing::TinyModelOptions options;
    options.layers = 1;
    options.seed = seed;
    fs::remove_all(model_);
    testing::WriteTinyModel(model_, "phi3", options);
  }
  std::unique_ptr<ModelRegistry> MakeRegistry() {
    return std::make_unique<ModelRegistry>(*store_, files_, random_, clock_, dir_.path());
  }
  void ImportModel() {
    const auto model = MakeRegistry()->Import("", "tiny", model_);
    ASSERT_TRUE(model.ok()) << Describe(model.status());
  }
  // A new runner in place of the former, as after a restart; `on_slab` hears of each slab that it
  // records.
  void MakeRunner(std::function<void(size_t)> on_slab = nullptr) {
    runner_.reset();
    JobRunner::Options options;
    options.threads = 1;
    options.data = dir_.path();
    options.on_slab_recorded = std::move(on_slab);
    runner_ = std::make_unique<JobRunner>(
        JobRunner::Collaborators{*store_, *authority_, blobs_, RealFileSystem(), random_, clock_},
        options);
  }
  // Submits before the worker starts, so that nothing is missed.
  std::string Submit(const std::vector<std::string>& classes = {"iot", "mobile", "edge"}) {
    const auto job = runner_->Submit("", "tiny", classes);
    EXPECT_TRUE(job.ok()) << Describe(job.status());
    return job.ok() ? job->name() : "";
  }
  v1::Job RunToEnd(const std::string& name) {
    std::mutex mutex;
    std::condition_variable done;
    v1::Job last;
    const Subscription watching = runner_->Watch(name, [&](const v1::Job& job) {
      std::lock_guard lock(mutex);
      last = job;
      done.notify_all();
    });
    EXPECT_TRUE(runner_->Start().ok());
    std::unique_lock lock(mutex);
    EXPECT_TRUE(done.wait_for(lock, testing::kLongEnough, [&] { return last.done(); }));
    return last;
  }

  testing::TempDir dir_;
  const fs::path model_ = dir_ / "source";
  ManualClock clock_;
  SeededRandom random_{7};
  testing::FaultyFileSystem files_;
  pipeline::FolderBlobStore blobs_{files_, dir_ / "blobs"};
  std::unique_ptr<Store> store_;
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<JobRunner> runner_;
};

}  // namespace quantfleet::daemon
