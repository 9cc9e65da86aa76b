// The answer to one request: a small text, or part of a blob. Decided here, sent by the server.
// Plain values.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "daemon/web/blob_request.h"
#include "pipeline/artifact/blob_store.h"

namespace quantfleet::daemon {

struct Answer {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  std::unique_ptr<pipeline::BlobReader> blob;  // the body: [first, first + length) of `size` bytes
  uint64_t first = 0, length = 0, size = 0;
  std::string etag;
};

Answer TextAnswer(int status, std::string body);
Answer ErrorAnswer(const absl::Status& status);

struct BlobConditions {
  std::string_view if_none_match, if_range, range;  // header values, empty when absent
};
// 200, 206, 304 or 416; 404 when there is no such blob. An error: it cannot be read.
absl::StatusOr<Answer> BlobAnswer(const pipeline::BlobStore& blobs, const BlobName& name,
                                  const BlobConditions& conditions);

}  // namespace quantfleet::daemon
