#include "agent/status_file.h"

#include <google/protobuf/util/json_util.h>

#include <boost/json.hpp>

#include "agent/platform/state_lock.h"
#include "agent/serve/listen_address.h"
#include "common/base/json.h"
#include "common/base/outside_text.h"
#include "common/trust/certificate.h"

namespace quantfleet::agent {
namespace {

namespace json = boost::json;

constexpr uint64_t kMaxBytes = 4 << 20;
constexpr uint64_t kLeastSpace = 4096;  // one block

json::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// As the operator's CLI shows the same message.
absl::StatusOr<json::object> ToJson(const v1::ModelStatus& status) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(status, &text, options).ok())
    return Internal("cannot write a model's status as JSON");
  return ParseJsonObject(text, "a model's status");
}

json::array ToJson(const std::vector<v1::ModelStatus>& models) {
  json::array list;
  for (const v1::ModelStatus& model : models)
    if (auto value = ToJson(model); value.ok()) list.push_back(*std::move(value));
  return list;
}

absl::StatusOr<json::object> ReadJson(FileSystem& files, const fs::path& path) {
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(path, kMaxBytes));
  return ParseJsonObject(text, path.string());
}

absl::Status WriteJson(FileSystem& files, const fs::path& path, const json::object& object) {
  const std::string text = json::serialize(object) + "\n";
  return files.WriteAtomically(path, AsBytes(text));
}

// The disk is full or read-only: asked of the file that the agent locks, which changes nothing.
std::string WhyUnwritable(FileSystem& files, const fs::path& state) {
  if (const auto lock = files.Open(state / "lock", OpenMode::kUpdate);
      !lock.ok() && lock.status().code() != absl::StatusCode::kNotFound)
    return Message(lock.status());
  if (const auto space = files.FreeSpace(state); space.ok() && *space < kLeastSpace)
    return fmt::format("{} has no space left", state.string());
  return "";
}

std::string TextOf(const json::object& fields, const char* name) {
  const json::value* text = fields.if_contains(name);
  return text && text->is_string() ? std::string(text->get_string().c_str()) : "";
}

}  // namespace

absl::Status WriteEndpoint(FileSystem& files, const fs::path& state, const std::string& endpoint,
                           const std::vector<v1::ModelStatus>& models) {
  json::array names;
  for (const v1::ModelStatus& model : models)
    if (!model.endpoint().empty()) names.push_back(View(model.model()));
  return WriteJson(files, state / "endpoint.json",
                   {{"endpoint", View(endpoint)}, {"models", std::move(names)}});
}

absl::Status WriteStatus(FileSystem& files, const fs::path& state, const RunningProgram& program,
                         const std::vector<v1::ModelStatus>& models) {
  return WriteJson(files, state / "status.json",
                   {{"agent_version", View(program.version)},
                    {"agent_slot", View(program.slot)},
                    {"models", ToJson(models)}});
}

absl::StatusOr<AgentStatus> ReadStatus(FileSystem& files, const fs::path& state) {
  AgentStatus status;
  QF_ASSIGN_OR_RETURN(status.identity, IdentityStore(files, state).Load());
  status.running = IsHeld(files, state);
  status.unwritable = WhyUnwritable(files, state);
  if (const auto certificate = trust::ReadCertificate(status.identity.certificate_pem);
      certificate.ok())
    status.certificate_expires_ms = ToUnixMillis(certificate->not_after);
  if (const auto fields = ReadJson(files, state / "endpoint.json"); fields.ok() && status.running)
    status.endpoint = TextOf(*fields, "endpoint");
  if (const auto fields = ReadJson(files, state / "status.json"); fields.ok()) {
    status.program = {TextOf(*fields, "agent_version"), TextOf(*fields, "agent_slot")};
    if (const auto* models = fields->if_contains("models"); models && models->is_array())
      for (const json::value& model : models->get_array()) {
        v1::ModelStatus one;
        if (google::protobuf::util::JsonStringToMessage(json::serialize(model), &one).ok())
          status.models.push_back(std::move(one));
      }
  }
  return status;
}

std::string StatusJson(const AgentStatus& status) {
  return json::serialize(json::object{{"device_id", View(status.identity.device_id)},
                                      {"device_class", View(status.identity.device_class)},
                                      {"server", View(status.identity.server)},
                                      {"running", status.running},
                                      {"agent_version", View(status.program.version)},
                                      {"agent_slot", View(status.program.slot)},
                                      {"endpoint", View(status.endpoint)},
                                      {"certificate_expires_ms", status.certificate_expires_ms},
                                      {"unwritable", View(status.unwritable)},
                                      {"models", ToJson(status.models)}}) +
         "\n";
}

// What the files say came from the daemon, and from programs that run models.
std::string StatusText(const AgentStatus& status) {
  std::string text = fmt::format(
      "device    {}\nclass     {}\ndaemon    {}\nagent     {}\n", status.identity.device_id,
      status.identity.device_class.empty() ? "none" : status.identity.device_class,
      status.identity.server, status.running ? "running" : "not running");
  if (!status.program.version.empty())
    text += fmt::format("version   {}{}\n", status.program.version,
                        status.program.slot.empty()
                            ? ""
                            : fmt::format(", a release in slot {}", status.program.slot));
  if (!status.endpoint.empty()) text += fmt::format("endpoint  {}\n", EndpointUrl(status.endpoint));
  if (!status.unwritable.empty())
    text += fmt::format("disk      {}: what follows may be old\n", status.unwritable);
  for (const v1::ModelStatus& model : status.models) {
    text += fmt::format("model     {}  release {}  {}", model.model(), model.release(),
                        v1::ModelStatus::Phase_Name(model.phase()));
    if (!model.reason().empty()) text += fmt::format("  {}: {}", model.reason(), model.detail());
    if (model.phase() == v1::ModelStatus::DOWNLOADING)
      text += fmt::format("  {} of {}; {} downloaded, {} received in all",
                          HumanBytes(model.bytes_done()), HumanBytes(model.bytes_total()),
                          HumanBytes(model.bytes_pulled()), HumanBytes(model.bytes_paid()));
    if (model.tokens_per_second() > 0)
      text += fmt::format("  {:.1f} tokens/s", model.tokens_per_second());
    text += "\n";
  }
  return ShownLines(text);
}

}  // namespace quantfleet::agent
