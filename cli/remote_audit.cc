// quantfleet audit list|export|verify

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <charconv>
#include <fstream>
#include <iostream>

#include "cli/remote_context.h"
#include "cli/remote_format.h"
#include "common/base/bytes.h"
#include "common/trust/audit_chain.h"

namespace quantfleet::cli {
namespace {

constexpr uint32_t kAuditPage = 1000;
constexpr size_t kMaxExportLine = 1 << 20;

// "24h": so long ago; else a time as "2026-11-30T10:00:00Z".
absl::StatusOr<int64_t> ParseSince(const std::string& text, Time now) {
  if (const auto seconds = ParseDurationSeconds(text); seconds.ok())
    return ToUnixMillis(now) - 1000 * *seconds;
  google::protobuf::Timestamp time;
  if (!google::protobuf::util::TimeUtil::FromString(text, &time))
    return InvalidArgument("'{}' is neither a duration (24h, 7d) nor a time (2026-11-30T10:00:00Z)",
                           text);
  return google::protobuf::util::TimeUtil::TimestampToMilliseconds(time);
}

struct AuditOptions {
  v1::ListAuditRequest request;
  std::string since;
  bool json = false;
};

void AddFilters(CLI::App* command, AuditOptions& options) {
  command->add_option("--since", options.since,
                      "From this time on: 24h, 7d (ago), or 2026-11-30T10:00:00Z");
  command->add_option("--operator", *options.request.mutable_caller(),
                      "Calls of this operator; devices/ID: of this device");
  command->add_option("--object", *options.request.mutable_object(),
                      "Calls about this: rollouts/NAME, or just NAME");
}

void FillSince(AuditOptions& options, Time now) {
  if (!options.since.empty())
    options.request.set_since_ms(ValueOfOption(ParseSince(options.since, now), "--since"));
}

// Calls `on_entry` with each entry, page by page, up to `most`.
void EachEntry(OperatorClient& client, v1::ListAuditRequest request, uint64_t most,
               const std::function<void(const v1::AuditEntry&)>& on_entry) {
  for (uint64_t left = most; left > 0;) {
    request.set_page_size(static_cast<uint32_t>(std::min<uint64_t>(left, kAuditPage)));
    const v1::ListAuditResponse page = RpcValueOrExit(client.ListAudit(request));
    for (const v1::AuditEntry& entry : page.entries()) on_entry(entry);
    left -= std::min<uint64_t>(left, static_cast<uint64_t>(page.entries_size()));
    if (page.next_page_token().empty()) return;
    request.set_page_token(page.next_page_token());
  }
}

std::string Result(const v1::AuditRecord& record) {
  return record.unrecorded() == 0
             ? record.code()
             : fmt::format("{} (and {} more before)", record.code(), record.unrecorded());
}

std::string Why(const v1::AuditRecord& record) {
  if (record.trimmed() > 0) return fmt::format("entries up to {} removed", record.trimmed());
  return record.reason().empty() ? record.message() : record.reason();
}

void AddAuditList(CLI::App& group, const Remote& remote) {
  auto options = std::make_shared<AuditOptions>();
  auto limit = std::make_shared<uint64_t>(50);
  CLI::App* command = AddCommand(group, "list", "List who did what, the newest first");
  AddFilters(command, *options);
  command->add_option("--limit", *limit, "Maximum number of entries")
      ->capture_default_str()
      ->check(CLI::Range(uint64_t{1}, uint64_t{1'000'000}));
  AddJsonOption(command, options->json);
  command->callback([remote, options, limit] {
    FillSince(*options, remote->clock.Now());
    const auto client = remote->Connect();
    v1::ListAuditResponse all;
    EachEntry(*client, options->request, *limit,
              [&](const v1::AuditEntry& entry) { *all.add_entries() = entry; });
    if (options->json) return PrintJson(all);
    Table table({">ENTRY", "TIME", "WHO", "WHAT", "OBJECT", "FROM", "RESULT", "REASON"});
    for (const v1::AuditEntry& entry : all.entries()) {
      const v1::AuditRecord& record = entry.decoded();
      table.Add({std::to_string(record.position()), UtcTime(record.time_ms()),
                 record.caller().empty() ? "-" : record.caller(), record.method(),
                 record.object().empty() ? "-" : record.object(),
                 record.address().empty() ? "-" : record.address(), Result(record), Why(record)});
    }
    PrintOut(table.ToString("no entries"));
  });
}

void AddAuditExport(CLI::App& group, const Remote& remote) {
  auto options = std::make_shared<AuditOptions>();
  CLI::App* command =
      AddCommand(group, "export", "Print entries as JSON, one per line, the oldest first");
  AddFilters(command, *options);
  command->callback([remote, options] {
    FillSince(*options, remote->clock.Now());
    options->request.set_oldest_first(true);
    const auto client = remote->Connect();
    google::protobuf::util::JsonPrintOptions compact;
    compact.preserve_proto_field_names = true;
    EachEntry(*client, options->request, std::numeric_limits<uint64_t>::max(),
              [&](const v1::AuditEntry& entry) {
                std::string line;
                if (!google::protobuf::util::MessageToJsonString(entry, &line, compact).ok())
                  ExitOnError(Internal("entry {} cannot be printed", entry.decoded().position()));
                PrintOut(line + "\n");
              });
  });
}

// What was noted of an earlier check: "POSITION:DIGEST".
struct Noted {
  uint64_t position = 0;
  Digest digest;
};
absl::StatusOr<Noted> ParseNoted(const std::string& text) {
  Noted noted;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, noted.position);
  if (error != std::errc() || at == end || *at != ':')
    return InvalidArgument("'{}' is not POSITION:DIGEST, as an earlier check printed it", text);
  QF_ASSIGN_OR_RETURN(noted.digest, Digest::FromHexText(std::string_view(at + 1, end)));
  return noted;
}

class Verifier {
 public:
  explicit Verifier(std::optional<Noted> noted) : noted_(noted) {}

  void Add(const v1::AuditEntry& entry) {
    ExitOnError(check_.Add(entry));
    if (!noted_ || check_.last() != noted_->position) return;
    if (check_.head() != noted_->digest)
      ExitOnError(
          DataLoss("entry {} has another digest than was noted: what is before it was "
                   "written anew",
                   noted_->position));
    met_ = true;
  }

  void Finish(bool json) const {
    ExitOnError(check_.Finish());
    if (noted_ && !met_)
      ExitOnError(DataLoss("entry {}, which was noted, is missing", noted_->position));
    if (json)
      return PrintOut(
          fmt::format("{{\"entries\": {}, \"first\": {}, \"last\": {}, \"digest\": \"{}\"}}\n",
                      check_.entries(), check_.first(), check_.last(), check_.head().hex()));
    PrintOut(fmt::format("{} entries, {} to {}: the chain is whole\n{}:{}\n", check_.entries(),
                         check_.first(), check_.last(), check_.last(), check_.head().hex()));
  }

 private:
  const std::optional<Noted> noted_;
  trust::AuditChainCheck check_;
  bool met_ = false;
};

void VerifyFile(const std::string& file, Verifier& verifier) {
  std::ifstream in(file);
  if (!in) ExitOnError(NotFound("{}: cannot be read", file));
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    v1::AuditEntry entry;
    if (line.size() > kMaxExportLine ||
        !google::protobuf::util::JsonStringToMessage(line, &entry).ok())
      ExitOnError(InvalidArgument("{}:{}: not an entry, as `quantfleet audit export` prints them",
                                  file, number));
    verifier.Add(entry);
  }
}

void AddAuditVerify(CLI::App& group, const Remote& remote) {
  struct Options {
    std::string file, noted;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(
      group, "verify",
      "Check that no entry was changed or removed; prints the last one's position and digest");
  command
      ->add_option("--file", options->file, "Check an export of all entries instead of the daemon")
      ->type_name("FILE");
  command
      ->add_option("--noted", options->noted,
                   "What an earlier check printed: that entry must be there as it was")
      ->type_name("POSITION:DIGEST");
  AddJsonOption(command, options->json);
  command->callback([remote, options] {
    std::optional<Noted> noted;
    if (!options->noted.empty()) noted = ValueOfOption(ParseNoted(options->noted), "--noted");
    Verifier verifier(noted);
    if (options->file.empty()) {
      v1::ListAuditRequest request;
      request.set_oldest_first(true);
      EachEntry(*remote->Connect(), request, std::numeric_limits<uint64_t>::max(),
                [&](const v1::AuditEntry& entry) { verifier.Add(entry); });
    } else {
      VerifyFile(options->file, verifier);
    }
    verifier.Finish(options->json);
  });
}

}  // namespace

void AddAuditCommands(CLI::App& app, const Remote& remote) {
  CLI::App& group =
      *AddGroup(app, "audit", "Read the audit log: who did what, when and from where");
  AddAuditList(group, remote);
  AddAuditExport(group, remote);
  AddAuditVerify(group, remote);
}

}  // namespace quantfleet::cli
