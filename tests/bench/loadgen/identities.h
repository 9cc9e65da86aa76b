// The simulated devices' identities: one file of PEM, for each device its certificate and behind it
// its private key. It only grows, so that what was enrolled before a run was cut off is kept.
#pragma once

#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::loadgen {

struct Identity {
  std::string device_id, certificate_pem, private_pem;
};

// Thread-safe.
class IdentityWriter {
 public:
  static absl::StatusOr<std::unique_ptr<IdentityWriter>> Open(const fs::path& file);
  absl::Status Add(const Identity& identity);

 private:
  explicit IdentityWriter(const fs::path& file)
      : path_(file), out_(file, std::ios::app | std::ios::binary) {}

  const fs::path path_;
  std::mutex mutex_;  // guards out_
  std::ofstream out_;
};

// The first `count`. FAILED_PRECONDITION when the file holds fewer.
absl::StatusOr<std::vector<Identity>> ReadIdentities(const fs::path& file, size_t count);

}  // namespace quantfleet::loadgen
