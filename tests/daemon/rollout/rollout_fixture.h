// A model, its artifacts and some devices, and rollouts over them; the test plays the devices.
#pragma once

#include <string>
#include <vector>

#include "quantfleet/v1/manifest.pb.h"
#include "tests/daemon/fleet/fleet_fixture.h"
#include "tests/daemon/store/once.h"

namespace quantfleet::daemon {

class RolloutFixture : public FleetFixture {
 protected:
  RolloutFixture() { PutModel("demo"); }

  void PutModel(const std::string& name) {
    v1::Model model;
    model.set_name(name);
    EXPECT_OK(Once(*store_)->models().Put(model, {}).status());
  }

  // The manifest's bytes are made up, but its requirements are real.
  std::string PutArtifact(const std::string& recipe, uint64_t memory_mib = 1,
                          const std::string& salt = "", const std::string& model = "demo",
                          const v1::Memory* memory = nullptr) {
    const ArtifactRecord record = SomeArtifact(recipe, memory_mib, salt, model, memory);
    EXPECT_OK(Once(*store_)->artifacts().Put(record));
    return record.artifact.name();
  }
  std::string PutArtifactOf(uint64_t version, const std::string& recipe) {
    ArtifactRecord record = SomeArtifact(recipe, 1, std::to_string(version), "demo", nullptr);
    record.artifact.add_versions(version);
    EXPECT_OK(Once(*store_)->artifacts().Put(record));
    return record.artifact.name();
  }

  static ArtifactRecord SomeArtifact(const std::string& recipe, uint64_t memory_mib,
                                     const std::string& salt, const std::string& model,
                                     const v1::Memory* memory) {
    v1::Manifest manifest;
    if (memory != nullptr) *manifest.mutable_requirements()->mutable_memory() = *memory;
    manifest.set_format_version(1);
    manifest.mutable_source()->set_architecture(recipe + salt);
    if (memory == nullptr) manifest.mutable_requirements()->set_memory_bytes(memory_mib << 20);
    ArtifactRecord record;
    record.manifest = manifest.SerializeAsString();
    const Digest digest = HashText(record.manifest);
    record.artifact.set_name("artifacts/" + digest.hex());
    record.artifact.set_manifest_digest(digest.raw());
    record.artifact.set_model(model);
    record.artifact.set_format("gguf");
    record.artifact.set_recipe(recipe);
    record.artifact.set_stored_bytes(1000);
    record.artifact.set_size_bytes(memory_mib << 20);
    return record;
  }

  // Iot devices, enrolled.
  std::vector<std::string> EnrollDevices(int n) {
    std::vector<std::string> ids;
    for (int i = 0; i < n; ++i) {
      FakeDevice device("iot");
      Enrolled(device);
      ids.push_back(device.id);
    }
    return ids;
  }

  static v1::RolloutDevice Row(const v1::Rollout& rollout, const std::string& id) {
    for (const v1::RolloutDevice& row : rollout.devices())
      if (row.device_id() == id) return row;
    ADD_FAILURE() << id << " is not in the rollout";
    return {};
  }
  std::vector<AssignmentRecord> Assignments(const std::string& id) {
    return Once(*store_)->assignments().List(id).value();
  }
  v1::Rollout Get(const v1::Rollout& rollout) {
    return Once(*store_)->rollouts().Get(rollout.name()).value();
  }
  static std::vector<v1::RolloutDevice> In(const v1::Rollout& rollout,
                                           v1::RolloutDevice::State state) {
    std::vector<v1::RolloutDevice> rows;
    for (const v1::RolloutDevice& row : rollout.devices())
      if (row.state() == state) rows.push_back(row);
    return rows;
  }

  static v1::ModelStatus Status(const v1::RolloutDevice& row, v1::ModelStatus::Phase phase,
                                std::string reason = "", const std::string& model = "demo") {
    v1::ModelStatus status;
    status.set_model(model);
    status.set_release(row.release());
    status.set_phase(phase);
    status.set_reason(std::move(reason));
    const std::string& runs =
        row.state() == v1::RolloutDevice::ROLLING_BACK ? row.previous_artifact() : row.artifact();
    if (phase == v1::ModelStatus::HEALTHY)
      status.set_active_manifest(Digest::FromHexText(runs.substr(runs.find('/') + 1))->raw());
    return status;
  }
  // A check-in, as the device service makes one.
  void Says(const std::string& id, const std::vector<v1::ModelStatus>& models) {
    ASSERT_OK(CheckIn(id, "test", nullptr, models).status());
    ASSERT_OK(Report(id, models));
  }
  void Ends(const v1::RolloutDevice& row, v1::ModelStatus::Phase phase,
            const std::string& reason = "") {
    Says(row.device_id(), {Status(row, phase, reason)});
  }
  // Every device that was assigned becomes healthy.
  void AllHealthy(const v1::Rollout& rollout) {
    const v1::Rollout now = Get(rollout);
    for (const v1::RolloutDevice& row : now.devices())
      if (row.state() == v1::RolloutDevice::PENDING ||
          row.state() == v1::RolloutDevice::IN_PROGRESS)
        Ends(row, v1::ModelStatus::HEALTHY);
  }
  v1::Rollout Create(v1::RolloutPlan plan, bool draft = false) {
    Rollouts::CreateRequest request{"", "demo", {}, {}};
    request.plan = std::move(plan);
    request.draft = draft;
    const auto made = rollouts_.Create(request);
    EXPECT_OK(made.status());
    return made.ok() ? *made : v1::Rollout();
  }
  v1::Rollout Act(const v1::Rollout& rollout, RolloutEvent event) {
    EXPECT_OK(rollouts_.Act(rollout.name(), event, "").status());
    return Get(rollout);
  }
  void Pass(int seconds) {
    clock_.Advance(std::chrono::seconds(seconds));
    ASSERT_OK(rollouts_.Tick());
  }
};

}  // namespace quantfleet::daemon
