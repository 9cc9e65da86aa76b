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

  absl::StatusOr<Bytes> Fetch(const Digest& digest, pipeline::Encoding encoding,
                              uint64_t stored_size, const Pull& pull) override {
    Bytes stored;
    const std::string path = fmt::format("/v1/blobs/{}.{}", digest.hex(), pipeline::Name(encoding));
    do {
      const uint64_t piece =
          std::min(stored_size - stored.size(), pull.most == 0 ? stored_size : pull.most);
      if (pull.pay) QF_RETURN_IF_ERROR(pull.pay(piece));
      const size_t before = stored.size();
      QF_RETURN_IF_ERROR(FetchPiece(path, piece, piece == stored_size, stored));
      if (stored.size() - before != piece) break;  // too short: its digest will not match
    } while (stored.size() < stored_size);
    return stored;
  }

 private:
  // The next `size` bytes, behind those that are there; `whole`: they are all that there is.
  absl::Status FetchPiece(const std::string& path, uint64_t size, bool whole, Bytes& stored) {
    if (!client_) {
      const Session::BlobAccess access = access_();
      client_ = std::make_unique<http::HttpsClient>(access.address, access.trust, access.client);
    }
    const auto keep = [&stored](ByteSpan piece) -> absl::Status {
      stored.insert(stored.end(), piece.begin(), piece.end());
      return absl::OkStatus();
    };
    const auto response = client_->Get(path, stored.size(), size, keep, kTimeout, whole ? 0 : size);
    if (!response.ok()) client_ = nullptr;  // the next one asks for address and certificate again
    return response.status();
  }

  const std::function<Session::BlobAccess()> access_;
  std::unique_ptr<http::HttpsClient> client_;
};

}  // namespace

std::unique_ptr<BlobSource> MakeHttpsBlobSource(std::function<Session::BlobAccess()> access) {
  return std::make_unique<HttpsBlobSource>(std::move(access));
}

}  // namespace quantfleet::agent
