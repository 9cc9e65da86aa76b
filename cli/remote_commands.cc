#include "cli/remote_commands.h"

#include <google/protobuf/util/json_util.h>

#include <cstdlib>

#include "cli/remote_context.h"
#include "cli/remote_format.h"
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

std::unique_ptr<OperatorClient> RemoteContext::Connect() const {
  const fs::path path =
      CredentialPath(credential, [](const char* name) -> const char* { return std::getenv(name); });
  auto loaded = LoadCredential(RealFileSystem(), clock, path, server);
  if (loaded.status().code() == absl::StatusCode::kUnauthenticated) ExitOnRpcError(loaded.status());
  return std::make_unique<OperatorClient>(ValueOrExit(std::move(loaded)));
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

void PrintJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) ExitOnError(Internal("cannot print the answer as JSON: {}", status.ToString()));
  PrintOut(text);
}

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
}

}  // namespace quantfleet::cli
