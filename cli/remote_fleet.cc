// quantfleet class list|show|apply, token create|list|revoke, device list|show|label|revoke, status

#include <algorithm>
#include <sstream>

#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "cli/remote_progress.h"
#include "common/base/bytes.h"

namespace quantfleet::cli {
namespace {

// ---- classes

void PrintClass(const v1::DeviceClass& c) {
  std::vector<std::pair<std::string, std::string>> fields{{"name", c.name()},
                                                          {"description", c.description()},
                                                          {"format", c.format()},
                                                          {"recipe", c.recipe()}};
  if (c.artifact_max_bytes() > 0)
    fields.emplace_back("at most", fmt::format("{} ({} bytes)", HumanBytes(c.artifact_max_bytes()),
                                               c.artifact_max_bytes()));
  PrintOut(Fields(fields));
}

void AddClassShow(CLI::App& group, const Remote& remote) {
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* show = AddCommand(group, "show", "Show a device class as it was applied");
  show->add_option("NAME", *name)->required();
  AddJsonOption(show, *json);
  show->callback([remote, name, json] {
    const v1::ListDeviceClassesResponse response =
        RpcValueOrExit(remote->Connect()->ListDeviceClasses());
    const auto found = std::ranges::find(response.classes(), *name, &v1::DeviceClass::name);
    if (found == response.classes().end())
      ExitOnError(
          NotFound("there is no device class {}: `quantfleet class list` names them", *name));
    if (*json) return PrintJson(*found);
    PrintClass(*found);
    std::istringstream toml(found->toml());
    std::string text = "\n";
    for (std::string line; std::getline(toml, line);) text += Printable(line) + "\n";
    PrintOut(text);
  });
}

void AddClassCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group =
      *AddGroup(app, "class", "Manage device classes: which devices get which artifact");
  auto json = std::make_shared<bool>(false);
  CLI::App* list = AddCommand(group, "list", "List device classes, shipped and applied");
  AddJsonOption(list, *json);
  list->callback([remote, json] {
    const v1::ListDeviceClassesResponse response =
        RpcValueOrExit(remote->Connect()->ListDeviceClasses());
    if (*json) return PrintJson(response);
    Table table({"NAME", "FORMAT", "RECIPE", "ORIGIN", "DESCRIPTION"});
    for (const v1::DeviceClass& c : response.classes())
      table.Add(
          {c.name(), c.format(), c.recipe(), c.shipped() ? "shipped" : "applied", c.description()});
    PrintOut(table.ToString("no device classes"));
  });

  AddClassShow(group, remote);

  auto file = std::make_shared<std::string>();
  auto apply_json = std::make_shared<bool>(false);
  CLI::App* apply =
      AddCommand(group, "apply", "Add a device class, or replace the one of that name");
  apply
      ->add_option("FILE.toml", *file,
                   "TOML file with the class (deploy/classes has the shipped ones)")
      ->required();
  AddJsonOption(apply, *apply_json);
  apply->callback([remote, file, apply_json] {
    const std::string toml = ValueOrExit(RealFileSystem().ReadAll(*file, 1 << 20));
    auto applied = remote->Connect()->ApplyDeviceClass(toml);
    if (applied.status().code() == absl::StatusCode::kInvalidArgument)
      ExitOnError(Annotate(applied.status(), *file));
    const v1::DeviceClass c = RpcValueOrExit(std::move(applied));
    if (*apply_json) return PrintJson(c);
    PrintClass(c);
  });
}

// ---- tokens

std::string TokenState(const v1::EnrollmentToken& token, Time now) {
  if (token.revoked()) return "revoked";
  if (token.expires_ms() <= ToUnixMillis(now)) return "expired";
  if (token.max_uses() > 0 && token.uses() >= token.max_uses()) return "used up";
  return "valid";
}

std::string Uses(const v1::EnrollmentToken& token) {
  return token.max_uses() == 0 ? fmt::format("{}", token.uses())
                               : fmt::format("{} of {}", token.uses(), token.max_uses());
}

std::string TokenGives(const v1::EnrollmentToken& token) {
  std::string text = LabelsText(token.labels());
  if (!token.device_class().empty())
    text += (text.empty() ? "class " : ", class ") + token.device_class();
  return text;
}

std::string TokenLimits(const v1::EnrollmentToken& token) {
  std::string text =
      token.rate_per_hour() == 0 ? "" : fmt::format("{} an hour", token.rate_per_hour());
  if (token.approval()) text += text.empty() ? "approval" : ", approval";
  return text;
}

void AddTokenCreate(CLI::App& group, const Remote& remote) {
  struct Options {
    v1::CreateTokenRequest request;
    uint32_t uses = 1, rate = 0;
    bool approval = false;
    std::string ttl = "24h";
    LabelOption labels;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      AddCommand(group, "create",
                 "Create a token with which devices can enroll; its secret is shown only once");
  command->add_option("--uses", options->uses, "Maximum number of devices; 0: no limit")
      ->capture_default_str();
  command->add_option("--ttl", options->ttl, "Lifetime: 30m, 24h, 7d")->capture_default_str();
  AddLabelOption(command, options->labels,
                 "Label for each device that enrolls, key=value; may be repeated");
  command->add_option("--rate", options->rate, "Maximum number of devices in any hour; 0: no limit")
      ->capture_default_str();
  command->add_option("--class", *options->request.mutable_device_class(),
                      "Device class for devices that fit it");
  command->add_flag("--approval", options->approval,
                    "Make its devices wait until an operator approves each");
  command->add_option("--description", *options->request.mutable_description(), "Description");
  AddRequestIdOption(command, *options->request.mutable_request_id());
  AddJsonOption(command, options->json);
  command->callback([remote, options] {
    v1::CreateTokenRequest& request = options->request;
    const auto ttl = ParseDurationSeconds(options->ttl);
    if (!ttl.ok()) throw CLI::ValidationError("--ttl", Message(ttl.status()));
    FillLabels(options->labels, *request.mutable_labels());
    request.set_max_uses(options->uses);
    request.set_rate_per_hour(options->rate);
    request.set_approval(options->approval);
    request.set_ttl_seconds(*ttl);
    FillRequestId(*request.mutable_request_id());
    const v1::CreateTokenResponse response =
        RpcValueOrExit(remote->Connect()->CreateToken(request));
    if (options->json) return PrintJson(response);
    PrintOut(response.secret() + "\n");
    Note(fmt::format(
        "token {}, expires {}. On each device, run: quantfleet-agent enroll --server HOST:PORT "
        "--token TOKEN",
        response.token().id(), Relative(response.token().expires_ms(), remote->clock.Now())));
  });
}

void AddTokenCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group = *AddGroup(app, "token", "Manage enrollment tokens");
  AddTokenCreate(group, remote);

  auto json = std::make_shared<bool>(false);
  CLI::App* list = AddCommand(group, "list", "List tokens, without their secrets");
  AddJsonOption(list, *json);
  list->callback([remote, json] {
    const v1::ListTokensResponse response = RpcValueOrExit(remote->Connect()->ListTokens());
    if (*json) return PrintJson(response);
    const Time now = remote->clock.Now();
    Table table({"ID", "STATE", "USED", "EXPIRES", "CREATED", "GRANTS", "LIMITS", "DESCRIPTION"});
    for (const v1::EnrollmentToken& token : response.tokens())
      table.Add({token.id(), TokenState(token, now), Uses(token), Relative(token.expires_ms(), now),
                 Relative(token.created_ms(), now), TokenGives(token), TokenLimits(token),
                 token.description()});
    PrintOut(table.ToString("no tokens; create one with `quantfleet token create`"));
  });

  auto id = std::make_shared<std::string>();
  auto revoke_json = std::make_shared<bool>(false);
  CLI::App* revoke =
      AddCommand(group, "revoke", "Revoke a token; devices that enrolled with it stay enrolled");
  revoke->add_option("ID", *id, "The id that `quantfleet token list` shows")->required();
  AddJsonOption(revoke, *revoke_json);
  revoke->callback([remote, id, revoke_json] {
    const v1::EnrollmentToken token = RpcValueOrExit(remote->Connect()->RevokeToken(*id));
    if (*revoke_json) return PrintJson(token);
    PrintOut(fmt::format("{} revoked\n", Printable(token.id())));
  });
}

// ---- devices

std::string ModelsOf(const v1::Device& device) {
  std::string text;
  for (const v1::ModelStatus& model : device.models())
    text += fmt::format("{}{}@{} {}", text.empty() ? "" : ", ", model.model(), model.release(),
                        v1::ModelStatus::Phase_Name(model.phase()));
  return text;
}

std::string OutgrownOf(const v1::Device& device) {
  std::string text;
  for (const v1::Outgrown& outgrown : device.outgrown())
    if (!outgrown.forgotten())
      text +=
          fmt::format("{}{} from {}:{} ({}: {})", text.empty() ? "" : "; ", outgrown.model(),
                      outgrown.format(), outgrown.recipe(), outgrown.reason(), outgrown.detail());
  return text;
}

void PrintDevice(const v1::Device& device, Time now) {
  const v1::HardwareFacts& facts = device.facts();
  PrintOut(Fields(
      {{"id", device.id()},
       {"state", v1::Device::State_Name(device.state())},
       {"class", device.device_class()},
       {"because", device.class_reason()},
       {"admitted by", device.admitted_by()},
       {"labels", LabelsText(device.labels())},
       {"seen", Ago(device.last_seen_ms(), now)},
       {"enrolled",
        fmt::format("{} ({})", UtcTime(device.enrolled_ms()), Relative(device.enrolled_ms(), now))},
       {"certificate", device.certificate_expires_ms() == 0
                           ? "-"
                           : "expires " + Relative(device.certificate_expires_ms(), now)},
       {"agent", device.agent_version()},
       {"machine", fmt::format("{} {}, {}, cores: {}, form {}", facts.os(), facts.arch(),
                               facts.cpu_model(), facts.cores(), facts.form())},
       {"memory", fmt::format("{}, {} available", HumanBytes(facts.memory_total_bytes()),
                              HumanBytes(facts.memory_available_bytes()))},
       {"bandwidth", facts.memory_bandwidth_gbps() > 0
                         ? fmt::format("{:.1f} GB/s", facts.memory_bandwidth_gbps())
                         : ""},
       {"kernels", facts.kernel_gops() > 0
                       ? fmt::format("{:.1f} G multiply-adds/s per core", facts.kernel_gops())
                       : ""},
       {"power", facts.battery_percent() > 0
                     ? fmt::format("{}, battery at {} %", facts.power(), facts.battery_percent())
                     : facts.power()},
       {"link", facts.link_mbps() > 0
                    ? fmt::format("{}, {} Mbit/s", facts.link(), facts.link_mbps())
                    : facts.link()},
       {"disk free", HumanBytes(facts.disk_free_bytes())},
       {"trouble", device.unwritten()},
       {"instructions", Join(facts.instruction_sets(), " ")},
       {"accelerators", Join(facts.accelerators(), " ")},
       {"runtimes", Join(facts.runtimes(), " ")},
       {"installed", Join(facts.runtimes_found(), " ")},
       {"stepped down", OutgrownOf(device)}}));
  if (device.models_size() == 0) return;
  Table table({"MODEL", ">RELEASE", "PHASE", "ACTIVE", ">CONTEXT", "CACHE", ">DONE", ">DOWNLOADED",
               ">TOKENS/S", "ENDPOINT", "REASON"});
  for (const v1::ModelStatus& model : device.models()) {
    std::string reason = model.reason();
    if (!model.detail().empty()) reason += (reason.empty() ? "" : ": ") + model.detail();
    table.Add({model.model(), fmt::format("{}", model.release()),
               v1::ModelStatus::Phase_Name(model.phase()), ShortDigest(model.active_manifest()),
               model.context() > 0 ? fmt::format("{}", model.context()) : "", model.kv_type(),
               Share(model.bytes_done(), model.bytes_total()), HumanBytes(model.bytes_pulled()),
               fmt::format("{:.1f}", model.tokens_per_second()), model.endpoint(), reason});
  }
  PrintOut("\n" + table.ToString(""));
}

void AddDeviceOne(CLI::App& group, const Remote& remote, const std::string& verb,
                  const std::string& help,
                  absl::StatusOr<v1::Device> (OperatorClient::*call)(const std::string&)) {
  auto id = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, verb, help);
  command->add_option("ID", *id, "The device")->required();
  AddJsonOption(command, *json);
  command->callback([remote, id, json, call] {
    const auto client = remote->Connect();
    const v1::Device device = RpcValueOrExit((client.get()->*call)(*id));
    if (*json) return PrintJson(device);
    PrintDevice(device, remote->clock.Now());
  });
}

void AddDeviceLabel(CLI::App& group, const Remote& remote) {
  struct Options {
    std::string id;
    std::vector<std::string> labels, remove;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(
      group, "label", "Set or remove labels, by which rollouts and classes select devices");
  command->add_option("ID", options->id, "The device")->required();
  command->add_option("LABEL", options->labels, "key=value; replaces the key's value");
  command->add_option("--remove", options->remove, "Key to remove; may be repeated")
      ->allow_extra_args(false)
      ->delimiter(',');
  AddJsonOption(command, options->json);
  command->callback([remote, options] {
    v1::LabelDeviceRequest request;
    request.set_id(options->id);
    for (const std::string& text : options->labels) {
      const auto [key, value] = ValueOfOption(ParseLabel(text), "LABEL");
      (*request.mutable_set())[key] = value;
    }
    for (const std::string& key : options->remove) request.add_remove(key);
    const v1::Device device = RpcValueOrExit(remote->Connect()->LabelDevice(request));
    if (options->json) return PrintJson(device);
    const std::string labels = device.labels().empty() ? "no labels" : LabelsText(device.labels());
    PrintOut(fmt::format("{}: {}\n", Printable(device.id()), Printable(labels)));
  });
}

void AddDeviceStepUp(CLI::App& group, const Remote& remote) {
  auto request = std::make_shared<v1::ForgetOutgrownRequest>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "step-up",
                                 "Clear what a device stepped down from, so that its next rollout "
                                 "gives it the class's own precision again");
  command->add_option("ID", *request->mutable_id(), "The device")->required();
  command->add_option("--model", *request->mutable_model(), "Only for this model");
  AddJsonOption(command, *json);
  command->callback([remote, request, json] {
    const v1::Device device = RpcValueOrExit(remote->Connect()->ForgetOutgrown(*request));
    if (*json) return PrintJson(device);
    PrintDevice(device, remote->clock.Now());
  });
}

void AddDeviceCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group = *AddGroup(app, "device", "Manage enrolled devices");
  auto json = std::make_shared<bool>(false);
  CLI::App* list = AddCommand(group, "list", "List devices by id");
  AddJsonOption(list, *json);
  list->callback([remote, json] {
    const v1::ListDevicesResponse response = RpcValueOrExit(remote->Connect()->ListDevices());
    if (*json) return PrintJson(response);
    Table table({"ID", "CLASS", "STATE", "SEEN", "AGENT", "MODELS", "LABELS"});
    for (const v1::Device& device : response.devices())
      table.Add({device.id(), device.device_class(), v1::Device::State_Name(device.state()),
                 Ago(device.last_seen_ms(), remote->clock.Now()), device.agent_version(),
                 ModelsOf(device), LabelsText(device.labels())});
    PrintOut(
        table.ToString("no devices; create a token with `quantfleet token create` and enroll one"));
  });
  AddDeviceOne(group, remote, "show", "Show a device: its machine, class and models",
               &OperatorClient::GetDevice);
  AddDeviceLabel(group, remote);
  AddDeviceStepUp(group, remote);
  AddDeviceOne(group, remote, "revoke", "Revoke a device", &OperatorClient::RevokeDevice);
  AddAdmissionCommands(group, remote);
  AddDeviceOne(group, remote, "approve",
               "Approve a pending device; the device that it replaces is revoked",
               &OperatorClient::ApproveDevice);
  AddDeviceOne(group, remote, "reject", "Reject a pending device; its key is refused from then on",
               &OperatorClient::RejectDevice);
}

// ---- status

void AddStatusCommand(CLI::App& app, const Remote& remote) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(app, "status", "Show the daemon and its fleet at a glance");
  AddJsonOption(command, *json);
  command->callback([remote, json] {
    const v1::Status status = RpcValueOrExit(remote->Connect()->GetStatus());
    if (*json) return PrintJson(status);
    const v1::Scrub& scrub = status.scrub();
    PrintOut(Fields(
        {{"version", status.version()},
         {"started", fmt::format("{} ({})", UtcTime(status.started_ms()),
                                 Relative(status.started_ms(), remote->clock.Now()))},
         {"models", fmt::format("{}", status.models())},
         {"artifacts", fmt::format("{}, {} of blobs, {} damaged", status.artifacts(),
                                   HumanBytes(status.blob_bytes()), status.artifacts_damaged())},
         {"last scrub",
          scrub.state() == v1::Scrub::FINISHED ? Relative(scrub.finished_ms(), remote->clock.Now())
          : scrub.state() == v1::Scrub::RUNNING
              ? fmt::format("under way, {} of {} blobs", scrub.blobs_checked(), scrub.blobs_total())
              : "none"},
         {"devices", fmt::format("{}, {} seen lately, {} pending", status.devices(),
                                 status.devices_seen_lately(), status.devices_pending())},
         {"jobs",
          fmt::format("{} running, {} queued", status.jobs_running(), status.jobs_queued())},
         {"rollouts", fmt::format("{} running", status.rollouts_running())},
         {"blobs at",
          status.blob_endpoint().starts_with(':')
              ? fmt::format("port {} of this daemon's host", status.blob_endpoint().substr(1))
              : status.blob_endpoint()},
         {"CA", status.ca_sha256()}}));
  });
}

}  // namespace

void AddFleetCommands(CLI::App& app, const Remote& remote) {
  AddClassCommands(app, remote);
  AddTokenCommands(app, remote);
  AddDeviceCommands(app, remote);
  AddStatusCommand(app, remote);
}

}  // namespace quantfleet::cli
