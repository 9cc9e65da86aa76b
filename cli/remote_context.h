// What every command that talks to a daemon shares: options, the connection, exit codes, and JSON.
//
// Exit codes besides command.h's: 3 the daemon was not reached, 4 not permitted, 5 not found; for a
// watched rollout: 6 rolled back, 7 aborted.
#pragma once

#include <google/protobuf/map.h>
#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "cli/command.h"
#include "cli/remote_client.h"
#include "common/base/clock.h"

namespace quantfleet::cli {

inline constexpr int kExitUnreachable = 3;
inline constexpr int kExitNotPermitted = 4;
inline constexpr int kExitNotFound = 5;
inline constexpr int kExitRolledBack = 6;
inline constexpr int kExitAborted = 7;

// How long a watcher waits for a daemon that is being restarted.
inline constexpr std::chrono::seconds kPatience{60};

int ExitCodeOf(const absl::Status& status);

// As ExitOnError, with the exit code that the status deserves.
void ExitOnRpcError(const absl::Status& status);

// Warns of what the daemon left out of a list because it cannot read it.
template <typename T>
T RpcValueOrExit(absl::StatusOr<T> result) {
  ExitOnRpcError(result.status());
  if constexpr (requires { result->damaged(); })
    for (const std::string& record : result->damaged())
      Warn(fmt::format("the daemon's record of {} is damaged", record));
  return std::move(*result);
}

// The value of an option's text; ends the command with wrong usage if it is not valid.
template <typename T>
T ValueOfOption(absl::StatusOr<T> result, const std::string& option) {
  if (!result.ok()) throw CLI::ValidationError(option, Message(result.status()));
  return std::move(*result);
}

struct RemoteContext {
  std::string credential, server;  // --credential, --server
  RealClock clock;

  // Reads the credential, and renews it when that is due; the connection itself is made by the
  // first call.
  std::unique_ptr<OperatorClient> Connect() const;
  fs::path Path() const;  // of the credential
  // With a new certificate, which is kept. Ends the command if the daemon refuses, and if it does
  // not answer and the one that is held has ended.
  Credential Renew(Credential held) const;
};
using Remote = std::shared_ptr<const RemoteContext>;

// A group of commands ("model"), or a command in a group ("list"); the app's own options may follow
// it too.
CLI::App* AddGroup(CLI::App& app, const std::string& name, const std::string& help);
CLI::App* AddCommand(CLI::App& group, const std::string& name, const std::string& help);
void AddJsonOption(CLI::App* command, bool& json);
// --request-id; empty until FillRequestId makes one.
void AddRequestIdOption(CLI::App* command, std::string& id);
void FillRequestId(std::string& id);

// --label, which may be repeated; FillLabels ends the command with wrong usage if one is not a
// label.
using LabelOption = std::vector<std::string>;
void AddLabelOption(CLI::App* command, LabelOption& labels, const std::string& help);
void FillLabels(const LabelOption& texts, google::protobuf::Map<std::string, std::string>& labels);

// Protobuf's JSON with the field names of proto/ and every field present, but digests in hex.
std::string JsonText(const google::protobuf::Message& message);
void PrintJson(const google::protobuf::Message& message);

// A name with its collection in front: "jobs/x" for "x".
std::string InCollection(std::string_view collection, const std::string& name);

void AddModelCommands(CLI::App& app, const Remote& remote);
void AddJobCommands(CLI::App& app, const Remote& remote);
void AddArtifactCommands(CLI::App& app, const Remote& remote);
// Of the group "artifact": scrub and repair.
void AddScrubCommands(CLI::App& artifact_group, const Remote& remote);
void AddAgentCommands(CLI::App& app, const Remote& remote);
void AddFleetCommands(CLI::App& app, const Remote& remote);
void AddDeviceGroupCommands(CLI::App& app, const Remote& remote);
// Of the group "device": the allowlist and pending devices.
void AddAdmissionCommands(CLI::App& device_group, const Remote& remote);
void AddRolloutCommands(CLI::App& app, const Remote& remote);
void AddOperatorCommands(CLI::App& app, const Remote& remote);
void AddLoginCommand(CLI::App& app, const Remote& remote);
void AddAuditCommands(CLI::App& app, const Remote& remote);

}  // namespace quantfleet::cli
