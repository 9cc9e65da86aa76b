#include <algorithm>
#include <cmath>

#include "common/base/bytes.h"
#include "common/base/fail_point.h"
#include "common/base/outside_text.h"
#include "common/trust/runtime.h"
#include "daemon/fleet/fleet.h"
#include "daemon/store/artifact_name.h"

namespace quantfleet::daemon {
namespace {

constexpr int kMaxFactWords = 128, kMaxModels = 64, kMaxSteps = 16, kMaxOutgrown = 64;
constexpr uint64_t kMaxContext = uint64_t{1} << 30;
constexpr size_t kMaxText = 256, kMaxHardwareId = 64;
constexpr size_t kMaxDetail = 1024;  // of words that explain; longer ones are cut
constexpr size_t kMaxFactBytes = 32 << 10, kMaxStatusBytes = 256 << 10;  // in all

absl::Status CheckText(std::string_view field, const std::string& text, size_t most) {
  if (text.size() > most) return InvalidArgument("{}: at most {} bytes", field, most);
  return absl::OkStatus();
}

template <typename Words>
absl::Status CheckWords(std::string_view field, const Words& words) {
  if (words.size() > kMaxFactWords)
    return InvalidArgument("{}: at most {} entries", field, kMaxFactWords);
  for (const std::string& word : words) QF_RETURN_IF_ERROR(CheckText(field, word, kMaxText));
  return absl::OkStatus();
}

// What could change how large an artifact the device can run.
bool SameShape(const v1::HardwareFacts& a, const v1::HardwareFacts& b) {
  return a.memory_total_bytes() == b.memory_total_bytes() && a.cores() == b.cores() &&
         a.cpu_model() == b.cpu_model();
}

// What the device stepped down from counts only once a smaller one is healthy: else nothing was
// gained.
absl::Status Outgrow(const Transaction& tx, v1::Device& device, const v1::ModelStatus& status,
                     int64_t now_ms) {
  if (status.phase() != v1::ModelStatus::HEALTHY) return absl::OkStatus();
  // A device reports its steps at each check-in, and artifacts are long records.
  for (const v1::Outgrown& known : device.outgrown())
    if (known.model() == status.model() && known.release() == status.release())
      return absl::OkStatus();
  for (const v1::StepDown& step : status.stepped_down()) {
    const auto found = tx.artifacts().Get(ArtifactName(AsBytes(step.manifest())));
    if (absl::IsNotFound(found.status())) continue;  // the device may say what it likes
    QF_RETURN_IF_ERROR(found.status());
    const v1::Artifact& artifact = found->artifact;
    const auto same = [&](const v1::Outgrown& known) {
      return known.model() == status.model() && known.format() == artifact.format() &&
             known.recipe() == artifact.recipe();
    };
    const auto known = std::ranges::find_if(*device.mutable_outgrown(), same);
    if (known == device.mutable_outgrown()->end() && device.outgrown_size() >= kMaxOutgrown)
      continue;
    v1::Outgrown& outgrown =
        known == device.mutable_outgrown()->end() ? *device.add_outgrown() : *known;
    outgrown.set_model(status.model());
    outgrown.set_format(artifact.format());
    outgrown.set_recipe(artifact.recipe());
    outgrown.set_reason(step.reason());
    outgrown.set_detail(step.detail());
    outgrown.set_since_ms(now_ms);
    outgrown.set_release(status.release());
    outgrown.set_forgotten(false);
  }
  return absl::OkStatus();
}

// For one model, or for all if that is empty.
void Forget(v1::Device& device, std::string_view model) {
  for (v1::Outgrown& outgrown : *device.mutable_outgrown())
    if (model.empty() || outgrown.model() == model) outgrown.set_forgotten(true);
}

// What explains a state must not keep the state from being known.
void CutDetails(v1::ModelStatus& status) {
  status.set_detail(Shown(status.detail(), kMaxDetail));
  for (v1::StepDown& step : *status.mutable_stepped_down())
    step.set_detail(Shown(step.detail(), kMaxDetail));
}

absl::Status CheckDigest(std::string_view field, const std::string& raw) {
  if (!raw.empty() && raw.size() != Digest::kSize)
    return InvalidArgument("{}: a digest must have 32 bytes", field);
  return absl::OkStatus();
}

}  // namespace

absl::Status SetRevoked(v1::Device& device) {
  device.set_state(v1::Device::REVOKED);
  return absl::OkStatus();
}

absl::Status CheckFacts(const v1::HardwareFacts& facts) {
  if (facts.ByteSizeLong() > kMaxFactBytes)
    return InvalidArgument("facts: {} bytes; the maximum is {}", facts.ByteSizeLong(),
                           kMaxFactBytes);
  QF_RETURN_IF_ERROR(CheckText("facts.arch", facts.arch(), kMaxText));
  QF_RETURN_IF_ERROR(CheckText("facts.os", facts.os(), kMaxText));
  QF_RETURN_IF_ERROR(CheckText("facts.cpu_model", facts.cpu_model(), kMaxText));
  QF_RETURN_IF_ERROR(CheckText("facts.form", facts.form(), kMaxText));
  QF_RETURN_IF_ERROR(CheckText("facts.hardware_id", facts.hardware_id(), kMaxHardwareId));
  QF_RETURN_IF_ERROR(CheckWords("facts.instruction_sets", facts.instruction_sets()));
  QF_RETURN_IF_ERROR(CheckWords("facts.accelerators", facts.accelerators()));
  QF_RETURN_IF_ERROR(CheckWords("facts.runtimes", facts.runtimes()));
  QF_RETURN_IF_ERROR(CheckText("facts.power", facts.power(), kMaxText));
  QF_RETURN_IF_ERROR(CheckText("facts.link", facts.link(), kMaxText));
  QF_RETURN_IF_ERROR(CheckWords("facts.runtimes_found", facts.runtimes_found()));
  QF_RETURN_IF_ERROR(CheckWords("facts.kv_types", facts.kv_types()));
  QF_RETURN_IF_ERROR(CheckWords("facts.model_kinds", facts.model_kinds()));
  if (!std::isfinite(facts.kernel_gops()) || facts.kernel_gops() < 0)
    return InvalidArgument("facts.kernel_gops must be a number of at least 0");
  if (!std::isfinite(facts.memory_bandwidth_gbps()) || facts.memory_bandwidth_gbps() < 0)
    return InvalidArgument("facts.memory_bandwidth_gbps must be a number of at least 0");
  return absl::OkStatus();
}

absl::Status CheckStatuses(const std::vector<v1::ModelStatus>& models) {
  if (models.size() > kMaxModels) return InvalidArgument("models: at most {}", kMaxModels);
  std::map<std::string_view, int> seen;
  size_t bytes = 0;
  for (const v1::ModelStatus& m : models) bytes += m.ByteSizeLong();
  if (bytes > kMaxStatusBytes)
    return InvalidArgument("models: {} bytes; the maximum is {}", bytes, kMaxStatusBytes);
  for (const v1::ModelStatus& m : models) {
    QF_RETURN_IF_ERROR(CheckText("models.model", m.model(), kMaxText));
    QF_RETURN_IF_ERROR(CheckText("models.reason", m.reason(), kMaxText));
    QF_RETURN_IF_ERROR(CheckText("models.endpoint", m.endpoint(), kMaxText));
    QF_RETURN_IF_ERROR(CheckText("models.kv_type", m.kv_type(), kMaxText));
    if (m.context() > kMaxContext)
      return InvalidArgument("models.context: at most {} tokens", kMaxContext);
    if (m.has_active_runtime())
      QF_RETURN_IF_ERROR(
          Annotate(trust::CheckRuntime(m.active_runtime()), "models.active_runtime"));
    QF_RETURN_IF_ERROR(CheckDigest("models.assigned_manifest", m.assigned_manifest()));
    QF_RETURN_IF_ERROR(CheckDigest("models.active_manifest", m.active_manifest()));
    if (m.stepped_down_size() > kMaxSteps)
      return InvalidArgument("models.stepped_down: at most {}", kMaxSteps);
    for (const v1::StepDown& step : m.stepped_down()) {
      QF_RETURN_IF_ERROR(CheckDigest("models.stepped_down.manifest", step.manifest()));
      QF_RETURN_IF_ERROR(CheckText("models.stepped_down.reason", step.reason(), kMaxText));
    }
    if (!std::isfinite(m.tokens_per_second()))
      return InvalidArgument("models.tokens_per_second is not a number");
    if (m.model().empty() || ++seen[m.model()] > 1)
      return InvalidArgument("models: each needs a unique model name");
  }
  return absl::OkStatus();
}

absl::Status CheckLabels(const Labels& labels) {
  if (labels.size() > kMaxLabels) return InvalidArgument("labels: at most {}", kMaxLabels);
  for (const auto& [key, value] : labels)
    if (key.empty() || key.size() > kMaxLabelText || value.size() > kMaxLabelText)
      return InvalidArgument("labels: keys of 1 to {0} bytes, values of at most {0}",
                             kMaxLabelText);
  return absl::OkStatus();
}

absl::StatusOr<v1::Device> Fleet::Authenticate(const Transaction& tx,
                                               const trust::CertificateInfo& certificate) {
  const trust::Subject& subject = certificate.subject;
  if (subject.kind != trust::Subject::Kind::kDevice)
    return Unauthenticated("this call needs a device's certificate: enroll with a token first");
  auto known = tx.devices().GetWithKey(subject.id);
  if (known.status().code() == absl::StatusCode::kNotFound)
    return Unauthenticated("device {} does not exist: enroll again with a token", subject.id);
  QF_RETURN_IF_ERROR(known.status());
  if (known->public_key != certificate.public_key)
    return Unauthenticated("device {} was enrolled with another key: enroll again with a token",
                           subject.id);
  if (known->device.state() != v1::Device::ACTIVE)
    return PermissionDenied("device {} is revoked", subject.id);
  return std::move(known->device);
}

absl::StatusOr<v1::Device> Fleet::CheckIn(Transaction& tx, const v1::Device& device,
                                          std::string_view agent_version,
                                          const v1::HardwareFacts* facts,
                                          std::vector<v1::ModelStatus> models,
                                          uint32_t trust_root_version, std::string_view unwritten) {
  QF_RETURN_IF_ERROR(CheckText("agent_version", std::string(agent_version), kMaxVersionBytes));
  if (facts) QF_RETURN_IF_ERROR(CheckFacts(*facts));
  QF_RETURN_IF_ERROR(CheckStatuses(models));
  for (v1::ModelStatus& status : models) CutDetails(status);
  QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs(tx));
  auto now = tx.devices().Update(device, [&](v1::Device& d) -> absl::Status {
    if (d.state() != v1::Device::ACTIVE) return PermissionDenied("device {} is revoked", d.id());
    if (facts && !SameShape(d.facts(), *facts)) Forget(d, "");
    if (facts) *d.mutable_facts() = *facts;
    for (const v1::ModelStatus& status : models)
      QF_RETURN_IF_ERROR(Outgrow(tx, d, status, ToUnixMillis(with_.clock.Now())));
    d.set_trust_root_version(trust_root_version);
    d.set_unwritten(Shown(unwritten, kMaxDetail));
    if (!agent_version.empty()) d.set_agent_version(std::string(agent_version));
    d.mutable_models()->Assign(models.begin(), models.end());
    Classify(d, *classes);
    return absl::OkStatus();
  });
  QF_RETURN_IF_ERROR(now.status());
  tx.devices().Touch(*now, ToUnixMillis(with_.clock.Now()));
  return now;
}

absl::StatusOr<v1::Device> Fleet::Label(std::string_view device_id, const Labels& set,
                                        const std::vector<std::string>& remove) {
  QF_RETURN_IF_ERROR(CheckLabels(set));
  FailPoint("device-before-labelled");
  auto device = with_.store.Write([&](Transaction& tx) -> absl::StatusOr<v1::Device> {
    QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs(tx));
    return tx.devices().Update(device_id, [&](v1::Device& d) -> absl::Status {
      for (const std::string& key : remove) d.mutable_labels()->erase(key);
      for (const auto& [key, value] : set) (*d.mutable_labels())[key] = value;
      QF_RETURN_IF_ERROR(CheckLabels(Labels(d.labels().begin(), d.labels().end())));
      Classify(d, *classes);
      return absl::OkStatus();
    });
  });
  FailPoint("device-after-labelled");
  return device;
}

absl::StatusOr<v1::Device> Fleet::ForgetOutgrown(std::string_view device_id,
                                                 std::string_view model) {
  return with_.store.Write([&](Transaction& tx) {
    return tx.devices().Update(device_id, [&](v1::Device& d) -> absl::Status {
      Forget(d, model);
      return absl::OkStatus();
    });
  });
}

absl::StatusOr<v1::Device> Fleet::Revoke(Transaction& tx, std::string_view device_id) {
  auto revoked = tx.devices().Update(device_id, SetRevoked);
  if (!absl::IsDataLoss(revoked.status())) return revoked;
  // Of a device whose record cannot be read only the id is known. Its key is refused from now on;
  // with another one it may enroll again.
  v1::Device device;
  device.set_id(std::string(device_id));
  device.set_state(v1::Device::REVOKED);
  device.set_class_reason("its record was damaged when it was revoked");
  QF_RETURN_IF_ERROR(tx.devices().Rewrite(device));
  return device;
}

}  // namespace quantfleet::daemon
