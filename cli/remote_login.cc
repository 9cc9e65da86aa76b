// quantfleet login

#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "cli/remote_progress.h"
#include "common/base/file.h"
#include "common/trust/certificate.h"
#include "common/trust/token.h"

namespace quantfleet::cli {
namespace {

struct LoginOptions {
  std::string server, code, ca, request_file;
  bool renew = false, replace = false, json = false;
};

// Where nothing is in the way of a new credential.
void CheckFree(const fs::path& path, const LoginOptions& options) {
  if (options.replace || !RealFileSystem().Exists(path)) return;
  ExitOnError(FailedPrecondition(
      "{} exists already: pass --replace, or --credential FILE for another place", path.string()));
}

// The key is kept before the daemon hears of it: whatever is lost on the way, `quantfleet login`
// without a code goes on with it.
PendingLogin MakePendingKey(const fs::path& path, const std::string& server) {
  const PendingLogin made{server, trust::GenerateTlsKey().private_pem};
  ExitOnError(WritePendingLogin(RealFileSystem(), PendingPath(path), made));
  return made;
}

void FinishLogin(const fs::path& path, const PendingLogin& pending, const v1::LoginResponse& answer,
                 bool json) {
  ExitOnError(WriteCredential(RealFileSystem(), path,
                              {pending.server, answer.ca_pem(), answer.certificate_pem(),
                               pending.private_pem, /*renews=*/true}));
  RealFileSystem().Remove(PendingPath(path)).IgnoreError();
  if (json) return PrintJson(answer.operator_());
  PrintOut(fmt::format("logged in to {} as {} ({})\n", Printable(pending.server),
                       Printable(answer.operator_().name()), answer.operator_().role()));
  Note("the credential is " + path.string());
}

void RenewNow(const RemoteContext& remote, const LoginOptions& options) {
  const Credential held = ValueOrExit(ReadCredential(RealFileSystem(), remote.Path()));
  if (!held.renews)
    ExitOnError(FailedPrecondition("{} is not of `quantfleet login`: the daemon keeps it",
                                   remote.Path().string()));
  const Credential renewed = remote.Renew(held);
  const auto info = ValueOrExit(trust::ReadCertificate(renewed.certificate_pem));
  if (options.json) return PrintJson(RpcValueOrExit(remote.Connect()->GetOperator("")));
  PrintOut(fmt::format("{}: the certificate holds until {}\n", Printable(info.subject.id),
                       UtcTime(ToUnixMillis(info.not_after))));
}

void WriteRequest(const fs::path& path, const LoginOptions& options) {
  CheckFree(path, options);
  const PendingLogin pending = MakePendingKey(path, options.server);
  const std::string csr = ValueOrExit(trust::MakeCsr(pending.private_pem, "operator"));
  ExitOnError(
      RealFileSystem().WriteAtomically(options.request_file, AsBytes(csr), OpenMode::kCreate));
  PrintOut(options.request_file + "\n");
  Note(
      "give this file, which is not secret, to an admin, who runs: quantfleet operator create NAME "
      "--role ROLE --csr FILE. Then run: quantfleet login HOST:PORT --ca SHA256");
}

void LogInHere(const fs::path& path, const LoginOptions& options) {
  CheckFree(path, options);
  std::optional<Digest> ca;
  if (!options.ca.empty()) ca = ValueOfOption(Digest::FromHexText(options.ca), "--ca");
  PendingLogin pending;
  if (!options.code.empty()) {
    const auto code = ValueOfOption(
        trust::ClaimToken::Parse(options.code, trust::ClaimToken::For::kLogin), "--code");
    if (ca && *ca != code.ca_fingerprint)
      ExitOnError(FailedPrecondition("the code is of the daemon with the CA {}, not of --ca",
                                     code.ca_fingerprint.hex()));
    ca = code.ca_fingerprint;
    pending = MakePendingKey(path, options.server);
  } else {
    if (!RealFileSystem().Exists(PendingPath(path)))
      throw CLI::ValidationError("--code",
                                 "give the code that an admin made with `quantfleet "
                                 "operator create`, or begin with --request FILE");
    if (!ca)
      throw CLI::ValidationError("--ca",
                                 "the SHA-256 of the daemon's CA, as an admin's `quantfleet "
                                 "status` prints it");
    pending = ValueOrExit(ReadPendingLogin(RealFileSystem(), PendingPath(path)));
    pending.server = options.server;
  }
  const v1::LoginResponse answer =
      RpcValueOrExit(LogIn({options.server, "", ca}, pending.private_pem, options.code));
  FinishLogin(path, pending, answer, options.json);
}

}  // namespace

void AddLoginCommand(CLI::App& app, const Remote& remote) {
  auto options = std::make_shared<LoginOptions>();
  CLI::App* command = AddCommand(
      app, "login", "Become an operator on this machine: make a key and get a certificate for it");
  command->add_option("HOST:PORT", options->server, "The daemon's address");
  CLI::Option* code = command->add_option("--code", options->code,
                                          "The login code of `quantfleet operator create`");
  command->add_option("--ca", options->ca, "SHA-256 of the daemon's CA in hex; a code contains it")
      ->type_name("SHA256");
  CLI::Option* request =
      command
          ->add_option("--request", options->request_file,
                       "Only make the key, and write a request for an admin's `operator create "
                       "--csr` to this file")
          ->type_name("FILE")
          ->excludes(code);
  command
      ->add_flag("--renew", options->renew,
                 "Get the next certificate now; other commands do so when it is due")
      ->excludes(code)
      ->excludes(request);
  command->add_flag("--replace", options->replace, "Replace the credential that is there");
  AddJsonOption(command, options->json);
  command->callback([remote, options] {
    if (options->renew) return RenewNow(*remote, *options);
    if (options->server.empty()) options->server = remote->server;
    const absl::Status address = CheckServerAddress(options->server);
    if (!address.ok()) throw CLI::ValidationError("HOST:PORT", Message(address));
    const fs::path path = remote->Path();
    options->request_file.empty() ? LogInHere(path, *options) : WriteRequest(path, *options);
  });
}

}  // namespace quantfleet::cli
