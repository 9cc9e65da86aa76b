#include "cli/remote_commands.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstdlib>

#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "common/base/bytes.h"
#include "common/base/random.h"

namespace quantfleet::cli {

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnreachable;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kExitNotPermitted;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    default:
      return kExitFailed;
  }
}

void ExitOnRpcError(const absl::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "quantfleet: {}\n", Message(status));
  throw CLI::RuntimeError(ExitCodeOf(status));
}

fs::path RemoteContext::Path() const {
  return CredentialPath(credential,
                        [](const char* name) -> const char* { return std::getenv(name); });
}

std::unique_ptr<OperatorClient> RemoteContext::Connect() const {
  const fs::path path = Path();
  Credential loaded = ValueOrExit(ReadCredential(RealFileSystem(), path, server.empty()));
  if (loaded.renews && IsDueForRenewal(loaded, clock.Now())) loaded = Renew(std::move(loaded));
  if (!server.empty()) loaded.server = server;
  const absl::Status fit = CheckCredential(loaded, path, clock.Now());
  absl::IsUnauthenticated(fit) ? ExitOnRpcError(fit) : ExitOnError(fit);
  return std::make_unique<OperatorClient>(loaded);
}

Credential RemoteContext::Renew(Credential held) const {
  const std::string& at = server.empty() ? held.server : server;
  const auto answer = LogIn({at, held.ca_pem, {}}, held.private_pem, "");
  if (!answer.ok()) {
    // Of a daemon that is not there, or not willing: what is held may do for now.
    const auto now = CheckCredential(held, Path(), clock.Now());
    if (!now.ok() || !absl::IsUnavailable(answer.status())) ExitOnRpcError(answer.status());
    return held;
  }
  held.certificate_pem = answer->certificate_pem();
  held.ca_pem = answer->ca_pem();
  if (const absl::Status kept = WriteCredential(RealFileSystem(), Path(), held); !kept.ok())
    Warn("the renewed certificate cannot be kept: " + Message(kept));
  return held;
}

CLI::App* AddGroup(CLI::App& app, const std::string& name, const std::string& help) {
  CLI::App* group = app.add_subcommand(name, help);
  group->require_subcommand(1);
  group->fallthrough();
  return group;
}

CLI::App* AddCommand(CLI::App& group, const std::string& name, const std::string& help) {
  CLI::App* command = group.add_subcommand(name, help);
  command->fallthrough();
  return command;
}

void AddJsonOption(CLI::App* command, bool& json) {
  command->add_flag("--json", json, "Print JSON");
}

void AddRequestIdOption(CLI::App* command, std::string& id) {
  command->add_option(
      "--request-id", id,
      "With the id of an earlier request, return its answer instead of creating another object");
}

void FillRequestId(std::string& id) {
  if (id.empty()) id = SecureRandom().Id("cli-", 16);
}

void AddLabelOption(CLI::App* command, LabelOption& labels, const std::string& help) {
  command->add_option("--label", labels, help)->allow_extra_args(false);
}

void FillLabels(const LabelOption& texts, google::protobuf::Map<std::string, std::string>& labels) {
  for (const std::string& text : texts) {
    const auto [key, value] = ValueOfOption(ParseLabel(text), "--label");
    labels[key] = value;
  }
}

namespace {

using google::protobuf::FieldDescriptor;

// The bytes that are digests; others stay base64, as protobuf's JSON has them.
bool IsDigest(const FieldDescriptor& field) {
  constexpr std::string_view kDigests[] = {"digest", "sha256", "manifest", "step_down"};
  return field.type() == FieldDescriptor::TYPE_BYTES &&
         std::ranges::any_of(kDigests, [&](std::string_view word) {
           return field.name().find(word) != std::string::npos;
         });
}

// Protobuf's JSON will write bytes as base64, so a digest is replaced by the bytes whose base64 is
// its hex: its letters are among base64's, and 64 of them need no padding.
std::string HexUnderBase64(const std::string& raw) {
  const auto bytes = FromBase64Url(ToHex(AsBytes(raw)));
  return bytes && raw.size() % 2 == 0 ? std::string(AsText(*bytes)) : raw;
}

void DigestsAsHex(google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const bool nested = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (!nested && !IsDigest(*field)) continue;
    if (!field->is_repeated()) {
      if (nested)
        DigestsAsHex(*reflection.MutableMessage(&message, field));
      else
        reflection.SetString(&message, field, HexUnderBase64(reflection.GetString(message, field)));
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      if (nested)
        DigestsAsHex(*reflection.MutableRepeatedMessage(&message, field, i));
      else
        reflection.SetRepeatedString(
            &message, field, i, HexUnderBase64(reflection.GetRepeatedString(message, field, i)));
    }
  }
}

}  // namespace

std::string JsonText(const google::protobuf::Message& message) {
  const std::unique_ptr<google::protobuf::Message> shown(message.New());
  shown->CopyFrom(message);
  DigestsAsHex(*shown);
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(*shown, &text, options);
  if (!status.ok()) ExitOnError(Internal("cannot print the answer as JSON: {}", status.ToString()));
  return text;
}

void PrintJson(const google::protobuf::Message& message) { PrintOut(JsonText(message)); }

std::string InCollection(std::string_view collection, const std::string& name) {
  return name.find('/') == std::string::npos ? fmt::format("{}/{}", collection, name) : name;
}

void AddRemoteCommands(CLI::App& app) {
  auto remote = std::make_shared<RemoteContext>();
  app.add_option("--credential", remote->credential,
                 "Credential file, such as the DATA/admin.json of `quantfleetd --dev` "
                 "[$QUANTFLEET_CREDENTIAL, ~/.config/quantfleet/credential.json]")
      ->type_name("FILE");
  app.add_option("--server", remote->server,
                 "The daemon's address, instead of the one in the credential")
      ->type_name("HOST:PORT");
  AddModelCommands(app, remote);
  AddJobCommands(app, remote);
  AddArtifactCommands(app, remote);
  AddAgentCommands(app, remote);
  AddFleetCommands(app, remote);
  AddDeviceGroupCommands(app, remote);
  AddRolloutCommands(app, remote);
  AddOperatorCommands(app, remote);
  AddLoginCommand(app, remote);
  AddAuditCommands(app, remote);
}

}  // namespace quantfleet::cli
