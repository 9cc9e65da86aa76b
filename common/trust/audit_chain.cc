#include "common/trust/audit_chain.h"

#include <algorithm>

#include "common/base/bytes.h"

namespace quantfleet::trust {

Digest AuditDigest(const Digest& previous, std::string_view record) {
  Sha256 hash;
  hash.Update(previous.span());
  hash.Update(AsBytes(record));
  return hash.Finish();
}

absl::Status AuditChainCheck::Add(const v1::AuditEntry& entry) {
  v1::AuditRecord record;
  if (!record.ParseFromString(entry.record()))
    return DataLoss("the entry after {} has no record that can be read", last_);
  const uint64_t position = record.position();
  if (entries_ > 0 && position != last_ + 1)
    return DataLoss("entry {} follows entry {}: what was between them is missing", position, last_);
  const Digest before = entries_ == 0 && position == 1 ? AuditChainStart() : head_;
  const auto previous = Digest::FromRaw(entry.previous()), digest = Digest::FromRaw(entry.digest());
  if (!previous.ok() || !digest.ok()) return DataLoss("entry {} has no digests", position);
  if ((entries_ > 0 || position == 1) && *previous != before)
    return DataLoss("entry {} does not follow from the one before it", position);
  if (AuditDigest(*previous, entry.record()) != *digest)
    return DataLoss("the record of entry {} was changed", position);
  if (entry.decoded().SerializeAsString() != record.SerializeAsString())
    return DataLoss("entry {} says something else than its record", position);
  if (entries_++ == 0) first_ = position;
  last_ = position;
  head_ = *digest;
  trimmed_ = std::max(trimmed_, record.trimmed());
  return absl::OkStatus();
}

absl::Status AuditChainCheck::Finish() const {
  if (entries_ == 0 || first_ == 1 || trimmed_ + 1 == first_) return absl::OkStatus();
  return DataLoss("the entries before {} are missing, and none says that they were removed",
                  first_);
}

}  // namespace quantfleet::trust
