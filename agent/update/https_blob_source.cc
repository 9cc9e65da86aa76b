#include <mutex>
#include <vector>

#include "agent/update/blob_source.h"
#include "common/http/https_client.h"

namespace quantfleet::agent {
namespace {

// Without progress for this long, a connection is given up.
constexpr auto kTimeout = std::chrono::seconds(15);

class HttpsBlobSource final : public BlobSource {
 public:
  explicit HttpsBlobSource(std::function<Session::BlobAccess()> access)
      : access_(std::move(access)) {}

  absl::Status Fetch(const BlobRange& range, const OnBytes& on_bytes,
                     std::stop_token stop) override {
    std::unique_ptr<http::HttpsClient> client = Take(range.afresh);
    const std::string path =
        fmt::format("/v1/blobs/{}.{}", range.digest.hex(), pipeline::Name(range.encoding));
    const bool whole = range.size == range.stored_size;
    const auto response = client->Get(path, range.first, range.size, on_bytes,
                                      {.timeout = kTimeout,
                                       .length = whole ? 0 : range.size,
                                       .past_caches = range.afresh,
                                       .stop = std::move(stop)});
    // After an error the next one asks for address and certificate again.
    if (!response.ok()) return response.status();
    std::lock_guard lock(mutex_);
    idle_.push_back(std::move(client));
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<http::HttpsClient> Take(bool afresh) {
    {
      std::lock_guard lock(mutex_);
      if (afresh) idle_.clear();
      if (!idle_.empty()) {
        auto client = std::move(idle_.back());
        idle_.pop_back();
        return client;
      }
    }
    const Session::BlobAccess access = access_();
    return std::make_unique<http::HttpsClient>(access.address, access.trust, access.client);
  }

  const std::function<Session::BlobAccess()> access_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<http::HttpsClient>> idle_;  // connected, as many as were used at once
};

}  // namespace

std::unique_ptr<BlobSource> MakeHttpsBlobSource(std::function<Session::BlobAccess()> access) {
  return std::make_unique<HttpsBlobSource>(std::move(access));
}

}  // namespace quantfleet::agent
