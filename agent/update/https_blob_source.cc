#include "agent/update/blob_source.h"
#include "common/net/https_client.h"

namespace quantfleet::agent {
namespace {

// Without progress for this long, a connection is given up.
constexpr auto kTimeout = std::chrono::seconds(15);

class HttpsBlobSource final : public BlobSource {
 public:
  explicit HttpsBlobSource(std::function<Session::BlobAccess()> access) : access_(std::move(access)) {}

  absl::StatusOr<Bytes> Fetch(const Digest& digest, pipeline::Encoding encoding,
                              uint64_t stored_size) override {
    if (!client_) {
      const Session::BlobAccess access = access_();
      client_ = std::make_unique<net::HttpsClient>(access.address, access.trust, access.client);
    }
    Bytes stored;
    const auto keep = [&stored](ByteSpan piece) -> absl::Status {
      stored.insert(stored.end(), piece.begin(), piece.end());
      return absl::OkStatus();
    };
    const auto response = client_->Get(fmt::format("/v1/blobs/{}.{}", digest.hex(), pipeline::Name(encoding)),
                                       0, stored_size, keep, kTimeout);
    if (!response.ok()) {
      client_ = nullptr;  // the next one asks for address and certificate again
      return response.status();
    }
    return stored;
  }

 private:
  const std::function<Session::BlobAccess()> access_;
  std::unique_ptr<net::HttpsClient> client_;
};

}  // namespace

std::unique_ptr<BlobSource> MakeHttpsBlobSource(std::function<Session::BlobAccess()> access) {
  return std::make_unique<HttpsBlobSource>(std::move(access));
}

}  // namespace quantfleet::agent
