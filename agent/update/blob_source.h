// Where chunks come from, as an interface; over HTTPS in https_blob_source.cc.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "agent/identity/session.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "pipeline/artifact/encoding.h"

namespace quantfleet::agent {

// Bytes of a chunk as it is stored.
struct BlobRange {
  Digest digest;
  pipeline::Encoding encoding;
  uint64_t stored_size;  // of all of it
  uint64_t first, size;  // what of it is wanted
  // What came before was wrong: over another connection, and past every cache.
  bool afresh = false;
};

// Thread-safe: several models are updated beside each other.
class BlobSource {
 public:
  virtual ~BlobSource() = default;
  using OnBytes = std::function<absl::Status(ByteSpan)>;
  // Gives what is wanted to `on_bytes`, in order, as it comes; nothing is checked, and a blob that
  // is shorter than announced gives less. Whatever ends it, what came was given. An error of
  // `on_bytes` is passed on. UNAVAILABLE: later. DATA_LOSS: longer than announced. CANCELLED:
  // `stop`.
  virtual absl::Status Fetch(const BlobRange& range, const OnBytes& on_bytes,
                             std::stop_token stop) = 0;
};

// GET /v1/blobs/<hex>.<encoding>. Asks `access` for address and certificate before each connection:
// both may change while a long download runs.
std::unique_ptr<BlobSource> MakeHttpsBlobSource(std::function<Session::BlobAccess()> access);

}  // namespace quantfleet::agent
