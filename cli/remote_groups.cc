// quantfleet group apply|list|show|delete

#include "cli/remote_context.h"
#include "cli/remote_format.h"

namespace quantfleet::cli {
namespace {

std::vector<std::pair<std::string, std::string>> GroupFields(const v1::DeviceGroup& group,
                                                             Time now) {
  return {{"name", group.name()},
          {"description", group.description()},
          {"selector", LabelsText(group.selector())},
          {"listed", Join(group.device_ids(), ", ")},
          {"changed",
           fmt::format("{} ({})", UtcTime(group.updated_ms()), Relative(group.updated_ms(), now))}};
}

void AddGroupApply(CLI::App& group, const Remote& remote) {
  struct Options {
    v1::DeviceGroup group;
    std::vector<std::string> selector, devices;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(group, "apply", "Add a group, or replace the one of that name");
  command->add_option("NAME", *options->group.mutable_name(), "The group")->required();
  command->add_option("--description", *options->group.mutable_description(), "Description");
  command
      ->add_option(
          "--selector", options->selector,
          "Include devices with this label, key=value; if repeated, devices must have all of them")
      ->allow_extra_args(false)
      ->delimiter(',');
  command
      ->add_option("--device", options->devices,
                   "Include this device, whatever its labels; may be repeated")
      ->allow_extra_args(false)
      ->delimiter(',');
  AddJsonOption(command, options->json);
  command->callback([remote, options] {
    for (const std::string& text : options->selector) {
      const auto [key, value] = ValueOfOption(ParseLabel(text), "--selector");
      (*options->group.mutable_selector())[key] = value;
    }
    for (const std::string& id : options->devices) options->group.add_device_ids(id);
    const v1::DeviceGroup applied = RpcValueOrExit(remote->Connect()->ApplyGroup(options->group));
    if (options->json) return PrintJson(applied);
    PrintOut(Fields(GroupFields(applied, remote->clock.Now())));
  });
}

void AddGroupList(CLI::App& group, const Remote& remote) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "list", "List groups by name");
  AddJsonOption(command, *json);
  command->callback([remote, json] {
    const v1::ListGroupsResponse response = RpcValueOrExit(remote->Connect()->ListGroups());
    if (*json) return PrintJson(response);
    Table table({"NAME", "SELECTOR", ">LISTED", "CHANGED", "DESCRIPTION"});
    for (const v1::DeviceGroup& g : response.groups())
      table.Add({g.name(), LabelsText(g.selector()), fmt::format("{}", g.device_ids_size()),
                 Relative(g.updated_ms(), remote->clock.Now()), g.description()});
    PrintOut(table.ToString(
        "no groups; create one with `quantfleet group apply NAME --selector KEY=VALUE`"));
  });
}

void AddGroupShow(CLI::App& group, const Remote& remote) {
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "show", "Show a group and its current members");
  command->add_option("NAME", *name, "The group")->required();
  AddJsonOption(command, *json);
  command->callback([remote, name, json] {
    const v1::GroupDetail detail = RpcValueOrExit(remote->Connect()->GetGroup(*name));
    if (*json) return PrintJson(detail);
    auto fields = GroupFields(detail.group(), remote->clock.Now());
    fields.emplace_back("members", fmt::format("{}", detail.members_size()));
    PrintOut(Fields(fields));
    for (const std::string& id : detail.members()) PrintOut(Printable(id) + "\n");
  });
}

void AddGroupDelete(CLI::App& group, const Remote& remote) {
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      AddCommand(group, "delete", "Delete a group; refused while an unfinished rollout uses it");
  command->add_option("NAME", *name, "The group")->required();
  AddJsonOption(command, *json);
  command->callback([remote, name, json] {
    const v1::DeviceGroup gone = RpcValueOrExit(remote->Connect()->DeleteGroup(*name));
    if (*json) return PrintJson(gone);
    PrintOut(fmt::format("{} deleted\n", Printable(gone.name())));
  });
}

}  // namespace

void AddDeviceGroupCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group = *AddGroup(app, "group", "Manage groups: named sets of devices, for rollouts");
  AddGroupApply(group, remote);
  AddGroupList(group, remote);
  AddGroupShow(group, remote);
  AddGroupDelete(group, remote);
}

}  // namespace quantfleet::cli
