// Where chunks come from, as an interface; over HTTPS in https_blob_source.cc.
#pragma once

#include <functional>
#include <memory>

#include "agent/identity/session.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "pipeline/artifact/encoding.h"

namespace quantfleet::agent {

// How a chunk is downloaded when there are limits.
struct Pull {
  uint64_t most = 0;  // bytes at once; 0: all of it
  std::function<absl::Status(uint64_t bytes)> pay =
      {};  // before so many are asked for; its error is passed on
};

// Used by one thread at a time.
class BlobSource {
 public:
  virtual ~BlobSource() = default;
  // The chunk as it is stored, at most `stored_size` bytes; nothing is checked. UNAVAILABLE: try
  // later. DATA_LOSS: longer than announced.
  virtual absl::StatusOr<Bytes> Fetch(const Digest& digest, pipeline::Encoding encoding,
                                      uint64_t stored_size, const Pull& pull) = 0;
};

// GET /v1/blobs/<hex>.<encoding>. Asks `access` for address and certificate before each connection:
// both may change while a long download runs.
std::unique_ptr<BlobSource> MakeHttpsBlobSource(std::function<Session::BlobAccess()> access);

}  // namespace quantfleet::agent
