#include "tests/bench/loadgen/identities.h"

#include "common/trust/certificate.h"

namespace quantfleet::loadgen {
namespace {

constexpr std::string_view kEnd = "-----END ";

// The next PEM block from `at` on, with its last line; empty at the end and where it was cut off.
std::string_view NextBlock(std::string_view text, size_t& at) {
  const size_t end = text.find(kEnd, at), line = end == text.npos ? end : text.find('\n', end);
  if (line == text.npos) return {};
  const std::string_view block = text.substr(at, line + 1 - at);
  at = line + 1;
  return block;
}

}  // namespace

absl::StatusOr<std::unique_ptr<IdentityWriter>> IdentityWriter::Open(const fs::path& file) {
  std::unique_ptr<IdentityWriter> writer(new IdentityWriter(file));
  if (!writer->out_)
    return Unavailable("{}: cannot be written; does its folder exist?", file.string());
  return writer;
}

absl::Status IdentityWriter::Add(const Identity& identity) {
  std::lock_guard lock(mutex_);
  out_ << identity.certificate_pem << identity.private_pem << std::flush;
  return out_ ? absl::OkStatus()
              : ResourceExhausted("{}: cannot be written; is the disk full?", path_.string());
}

absl::StatusOr<std::vector<Identity>> ReadIdentities(const fs::path& file, size_t count) {
  std::vector<Identity> identities;
  if (!RealFileSystem().Exists(file))
    return FailedPrecondition(
        "{}: there are no identities yet: run `quantfleet-loadgen enroll` first", file.string());
  QF_ASSIGN_OR_RETURN(const std::string text, RealFileSystem().ReadAll(file, uint64_t{1} << 32));
  for (size_t at = 0; identities.size() < count;) {
    const std::string_view certificate = NextBlock(text, at), key = NextBlock(text, at);
    if (key.empty())
      return FailedPrecondition(
          "{} holds {} identities, {} are needed: enroll more with `quantfleet-loadgen enroll`",
          file.string(), identities.size(), count);
    const auto info = trust::ReadCertificate(certificate);
    if (!info.ok())
      return Annotate(info.status(),
                      fmt::format("{}: identity {}", file.string(), identities.size() + 1));
    identities.push_back({info->subject.id, std::string(certificate), std::string(key)});
  }
  return identities;
}

}  // namespace quantfleet::loadgen
