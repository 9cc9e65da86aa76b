// quantfleet operator create|list|show|revoke|rotate

#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "cli/remote_progress.h"
#include "common/base/file.h"

namespace quantfleet::cli {
namespace {

constexpr uint64_t kMaxCsrBytes = 64 << 10;

std::string OperatorState(const v1::Operator& who, Time now) {
  const int64_t now_ms = ToUnixMillis(now);
  if (who.revoked_ms() != 0) return "revoked";
  if (who.expires_ms() != 0 && who.expires_ms() <= now_ms) return "ended";
  if (!who.public_key().empty()) return "active";
  return who.code_expires_ms() > now_ms ? "may log in" : "code expired";
}

void PrintOperator(const v1::Operator& who, Time now) {
  std::vector<std::pair<std::string, std::string>> fields{
      {"name", who.name()},
      {"role", who.role()},
      {"state", OperatorState(who, now)},
      {"created", fmt::format("{} by {}", UtcTime(who.created_ms()),
                              who.created_by().empty() ? "the daemon" : who.created_by())}};
  if (who.expires_ms() != 0) fields.emplace_back("access ends", UtcTime(who.expires_ms()));
  if (who.revoked_ms() != 0)
    fields.emplace_back("revoked",
                        fmt::format("{} by {}", UtcTime(who.revoked_ms()), who.revoked_by()));
  if (who.code_expires_ms() != 0)
    fields.emplace_back("login code", "until " + UtcTime(who.code_expires_ms()));
  if (!who.public_key().empty()) fields.emplace_back("key", HexDigest(who.public_key()));
  if (who.certificate_expires_ms() != 0)
    fields.emplace_back("certificate", "until " + UtcTime(who.certificate_expires_ms()));
  if (who.of_daemon()) fields.emplace_back("credential", "the daemon's DATA/admin.json");
  PrintOut(Fields(fields));
}

// How the operator gets in, after create and rotate.
void PrintMade(const v1::OperatorWithCode& made, Time now) {
  const v1::Operator& who = made.operator_();
  if (made.code().empty()) {
    PrintOut(fmt::format("{} ({}) may log in with the key of that request\n", Printable(who.name()),
                         who.role()));
    return Note(
        "where the request was made, run: quantfleet login HOST:PORT --ca SHA256 "
        "(`quantfleet status` prints the CA's)");
  }
  PrintOut(made.code() + "\n");
  Note(
      fmt::format("a login code for {} ({}), expires {}, for one use. Where the operator works, "
                  "run: quantfleet login HOST:PORT --code CODE",
                  who.name(), who.role(), Relative(who.code_expires_ms(), now)));
}

struct CodeOptions {
  std::string code_ttl = "1h", csr_file;
  bool json = false;
};

void AddCodeOptions(CLI::App* command, CodeOptions& options) {
  CLI::Option* ttl =
      command->add_option("--code-ttl", options.code_ttl, "Lifetime of the login code, up to 7d")
          ->capture_default_str();
  command
      ->add_option("--csr", options.csr_file,
                   "A request that `quantfleet login --request` wrote, instead of a login code")
      ->type_name("FILE")
      ->excludes(ttl);
  AddJsonOption(command, options.json);
}

template <typename Request>
void FillCode(const CodeOptions& options, Request& request) {
  request.set_code_ttl_seconds(ValueOfOption(ParseDurationSeconds(options.code_ttl), "--code-ttl"));
  if (!options.csr_file.empty())
    request.set_csr_pem(ValueOrExit(RealFileSystem().ReadAll(options.csr_file, kMaxCsrBytes)));
}

void AddOperatorCreate(CLI::App& group, const Remote& remote) {
  struct Options : CodeOptions {
    v1::CreateOperatorRequest request;
    std::string ttl;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(
      group, "create", "Create an operator, who logs in with the code that this prints once");
  command->add_option("NAME", *options->request.mutable_name())->required();
  command
      ->add_option("--role", *options->request.mutable_role(),
                   "viewer (reads), publisher (models, jobs, rollouts) or admin (everything)")
      ->required()
      ->check(CLI::IsMember({"viewer", "publisher", "admin"}));
  command->add_option("--ttl", options->ttl, "The operator is refused after this time [no end]");
  AddCodeOptions(command, *options);
  AddRequestIdOption(command, *options->request.mutable_request_id());
  command->callback([remote, options] {
    v1::CreateOperatorRequest& request = options->request;
    if (!options->ttl.empty())
      request.set_ttl_seconds(ValueOfOption(ParseDurationSeconds(options->ttl), "--ttl"));
    FillCode(*options, request);
    FillRequestId(*request.mutable_request_id());
    const v1::OperatorWithCode made = RpcValueOrExit(remote->Connect()->CreateOperator(request));
    if (options->json) return PrintJson(made);
    PrintMade(made, remote->clock.Now());
  });
}

void AddOperatorRotate(CLI::App& group, const Remote& remote) {
  struct Options : CodeOptions {
    v1::RotateOperatorRequest request;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(
      group, "rotate", "End an operator's credential at once, and print a code for the next one");
  command->add_option("NAME", *options->request.mutable_name())->required();
  AddCodeOptions(command, *options);
  command->add_option("--reason", *options->request.mutable_reason(), "Reason, for the record");
  command->callback([remote, options] {
    FillCode(*options, options->request);
    const v1::OperatorWithCode made =
        RpcValueOrExit(remote->Connect()->RotateOperator(options->request));
    if (options->json) return PrintJson(made);
    PrintMade(made, remote->clock.Now());
  });
}

void AddOperatorList(CLI::App& group, const Remote& remote) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "list", "List operators, revoked ones too");
  AddJsonOption(command, *json);
  command->callback([remote, json] {
    const v1::ListOperatorsResponse response = RpcValueOrExit(remote->Connect()->ListOperators());
    if (*json) return PrintJson(response);
    const Time now = remote->clock.Now();
    Table table({"NAME", "ROLE", "STATE", "CREATED", "BY", "ENDS"});
    for (const v1::Operator& who : response.operators())
      table.Add({who.name(), who.role(), OperatorState(who, now), Relative(who.created_ms(), now),
                 who.created_by().empty() ? "-" : who.created_by(),
                 who.expires_ms() == 0 ? "-" : Relative(who.expires_ms(), now)});
    PrintOut(table.ToString("no operators"));
  });
}

void AddOperatorShow(CLI::App& group, const Remote& remote) {
  auto name = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(group, "show", "Show an operator; without a name, yourself");
  command->add_option("NAME", *name);
  AddJsonOption(command, *json);
  command->callback([remote, name, json] {
    const v1::Operator who = RpcValueOrExit(remote->Connect()->GetOperator(*name));
    *json ? PrintJson(who) : PrintOperator(who, remote->clock.Now());
  });
}

void AddOperatorRevoke(CLI::App& group, const Remote& remote) {
  auto request = std::make_shared<v1::RevokeOperatorRequest>();
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      AddCommand(group, "revoke", "Refuse an operator from now on, and end what it watches");
  command->add_option("NAME", *request->mutable_name())->required();
  command->add_option("--reason", *request->mutable_reason(), "Reason, for the record");
  AddJsonOption(command, *json);
  command->callback([remote, request, json] {
    const v1::Operator who = RpcValueOrExit(remote->Connect()->RevokeOperator(*request));
    if (*json) return PrintJson(who);
    PrintOut(fmt::format("{} revoked\n", Printable(who.name())));
  });
}

}  // namespace

void AddOperatorCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group = *AddGroup(app, "operator", "Manage operators: who may call the daemon");
  AddOperatorCreate(group, remote);
  AddOperatorList(group, remote);
  AddOperatorShow(group, remote);
  AddOperatorRevoke(group, remote);
  AddOperatorRotate(group, remote);
}

}  // namespace quantfleet::cli
