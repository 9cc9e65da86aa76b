#include <cmath>

#include "common/base/fail_point.h"
#include "common/trust/runtime.h"
#include "daemon/fleet/fleet.h"

namespace quantfleet::daemon {
namespace {

constexpr int kMostFactWords = 128, kMostModels = 64;
constexpr size_t kMostText = 256, kMostDetail = 2048, kMostHardwareId = 64;

absl::Status CheckText(std::string_view field, const std::string& text, size_t most) {
  if (text.size() > most) return InvalidArgument("{}: at most {} bytes", field, most);
  return absl::OkStatus();
}

template <typename Words>
absl::Status CheckWords(std::string_view field, const Words& words) {
  if (words.size() > kMostFactWords) return InvalidArgument("{}: at most {} entries", field, kMostFactWords);
  for (const std::string& word : words) QF_RETURN_IF_ERROR(CheckText(field, word, kMostText));
  return absl::OkStatus();
}

absl::Status CheckDigest(std::string_view field, const std::string& raw) {
  if (!raw.empty() && raw.size() != Digest::kSize) return InvalidArgument("{}: a digest has 32 bytes", field);
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckFacts(const v1::HardwareFacts& facts) {
  QF_RETURN_IF_ERROR(CheckText("facts.arch", facts.arch(), kMostText));
  QF_RETURN_IF_ERROR(CheckText("facts.os", facts.os(), kMostText));
  QF_RETURN_IF_ERROR(CheckText("facts.cpu_model", facts.cpu_model(), kMostText));
  QF_RETURN_IF_ERROR(CheckText("facts.form", facts.form(), kMostText));
  QF_RETURN_IF_ERROR(CheckText("facts.hardware_id", facts.hardware_id(), kMostHardwareId));
  QF_RETURN_IF_ERROR(CheckWords("facts.instruction_sets", facts.instruction_sets()));
  QF_RETURN_IF_ERROR(CheckWords("facts.accelerators", facts.accelerators()));
  QF_RETURN_IF_ERROR(CheckWords("facts.runtimes", facts.runtimes()));
  if (!std::isfinite(facts.memory_bandwidth_gbps()) || facts.memory_bandwidth_gbps() < 0)
    return InvalidArgument("facts.memory_bandwidth_gbps must be a number of at least 0");
  return absl::OkStatus();
}

absl::Status CheckStatuses(const std::vector<v1::ModelStatus>& models) {
  if (models.size() > kMostModels) return InvalidArgument("models: at most {}", kMostModels);
  std::map<std::string_view, int> seen;
  for (const v1::ModelStatus& m : models) {
    QF_RETURN_IF_ERROR(CheckText("models.model", m.model(), kMostText));
    QF_RETURN_IF_ERROR(CheckText("models.reason", m.reason(), kMostText));
    QF_RETURN_IF_ERROR(CheckText("models.detail", m.detail(), kMostDetail));
    QF_RETURN_IF_ERROR(CheckText("models.endpoint", m.endpoint(), kMostText));
    if (m.has_active_runtime())
      QF_RETURN_IF_ERROR(Annotate(trust::CheckRuntime(m.active_runtime()), "models.active_runtime"));
    QF_RETURN_IF_ERROR(CheckDigest("models.assigned_manifest", m.assigned_manifest()));
    QF_RETURN_IF_ERROR(CheckDigest("models.active_manifest", m.active_manifest()));
    if (!std::isfinite(m.tokens_per_second())) return InvalidArgument("models.tokens_per_second is not a number");
    if (m.model().empty() || ++seen[m.model()] > 1)
      return InvalidArgument("models: each needs a model name of its own");
  }
  return absl::OkStatus();
}

absl::Status CheckLabels(const Labels& labels) {
  if (labels.size() > kMostLabels) return InvalidArgument("labels: at most {}", kMostLabels);
  for (const auto& [key, value] : labels)
    if (key.empty() || key.size() > kMostLabelText || value.size() > kMostLabelText)
      return InvalidArgument("labels: keys of 1 to {0} bytes, values of at most {0}", kMostLabelText);
  return absl::OkStatus();
}

absl::StatusOr<v1::Device> Fleet::Authenticate(const trust::CertificateInfo& certificate) {
  const trust::Subject& subject = certificate.subject;
  if (subject.kind != trust::Subject::Kind::kDevice)
    return Unauthenticated("this call needs a device's certificate: enrol with a token");
  auto device = with_.store.GetDevice(subject.id);
  if (device.status().code() == absl::StatusCode::kNotFound)
    return Unauthenticated("no device {}: enrol again with a token", subject.id);
  QF_RETURN_IF_ERROR(device.status());
  QF_ASSIGN_OR_RETURN(const Digest enrolled_key, with_.store.DeviceKey(subject.id));
  if (enrolled_key != certificate.public_key)
    return Unauthenticated("device {} was enrolled with another key: enrol again with a token", subject.id);
  if (device->state() != v1::Device::ACTIVE) return PermissionDenied("device {} is revoked", subject.id);
  return device;
}

absl::StatusOr<v1::Device> Fleet::CheckIn(std::string_view device_id, std::string_view agent_version,
                                          const v1::HardwareFacts* facts,
                                          const std::vector<v1::ModelStatus>& models) {
  QF_RETURN_IF_ERROR(CheckText("agent_version", std::string(agent_version), kMostVersionBytes));
  if (facts) QF_RETURN_IF_ERROR(CheckFacts(*facts));
  QF_RETURN_IF_ERROR(CheckStatuses(models));
  QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs());
  auto device = with_.store.UpdateDevice(device_id, [&](v1::Device& d) -> absl::Status {
    if (d.state() != v1::Device::ACTIVE) return PermissionDenied("device {} is revoked", d.id());
    if (facts) *d.mutable_facts() = *facts;
    if (!agent_version.empty()) d.set_agent_version(std::string(agent_version));
    d.mutable_models()->Assign(models.begin(), models.end());
    Classify(d, *classes);
    return absl::OkStatus();
  });
  QF_RETURN_IF_ERROR(device.status());
  with_.store.TouchDevice(device_id, ToUnixMillis(with_.clock.Now()));
  ++counters_.check_ins;
  return device;
}

absl::StatusOr<v1::Device> Fleet::Label(std::string_view device_id, const Labels& set,
                                        const std::vector<std::string>& remove) {
  QF_RETURN_IF_ERROR(CheckLabels(set));
  QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs());
  FailPoint("device-before-labelled");
  auto device = with_.store.UpdateDevice(device_id, [&](v1::Device& d) -> absl::Status {
    for (const std::string& key : remove) d.mutable_labels()->erase(key);
    for (const auto& [key, value] : set) (*d.mutable_labels())[key] = value;
    QF_RETURN_IF_ERROR(CheckLabels(Labels(d.labels().begin(), d.labels().end())));
    Classify(d, *classes);
    return absl::OkStatus();
  });
  FailPoint("device-after-labelled");
  return device;
}

absl::StatusOr<v1::Device> Fleet::Revoke(std::string_view device_id) {
  FailPoint("device-before-revoked");
  auto device = with_.store.UpdateDevice(device_id, [](v1::Device& d) -> absl::Status {
    d.set_state(v1::Device::REVOKED);
    return absl::OkStatus();
  });
  FailPoint("device-after-revoked");
  return device;
}

}  // namespace quantfleet::daemon
