// What one request gets: a small text, or a part of a file. Decided here, sent by the server.
// Values.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/base/file.h"
#include "common/base/status.h"
#include "daemon/web/blob_request.h"

namespace quantfleet::daemon {

struct Answer {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  std::unique_ptr<File> file;  // the body is [first, first + length) of it, of `size` bytes
  uint64_t first = 0, length = 0, size = 0;
  std::string etag;
};

Answer TextAnswer(int status, std::string body);
Answer ErrorAnswer(const absl::Status& status);

struct BlobConditions {
  std::string_view if_none_match, if_range, range;  // header values, empty when absent
};
// 200, 206, 304 or 416; 404 when the file is gone.
Answer BlobAnswer(FileSystem& files, const BlobName& name, const fs::path& path,
                  const BlobConditions& conditions);

}  // namespace quantfleet::daemon
