#include "common/http/https_client.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <charconv>

#include "common/http/client_connection_asio.h"
#include "common/http/message.h"
#include "common/net/server_check.h"
#include "common/trust/openssl_handles.h"

namespace quantfleet::http {
namespace {

constexpr size_t kBodyPiece = 64 << 10;
// Of an error's body, read only to keep the connection.
constexpr uint64_t kErrorBodyLimit = 64 << 10;

struct HostPort {
  std::string host, port;
};

absl::StatusOr<HostPort> SplitAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size())
    return InvalidArgument("'{}' is not an address: HOST:PORT", address);
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  return HostPort{std::move(host), address.substr(colon + 1)};
}

absl::Status StatusForHttp(int status, std::string_view reason, std::string_view retry_after) {
  std::string text = fmt::format("HTTP {} {}", status, reason);
  if (!retry_after.empty()) text += fmt::format(" (retry after {} s)", retry_after);
  if (status >= 500 || status == 429 || status == 408) return Unavailable("{}", text);
  if (status == 404 || status == 410) return NotFound("{}", text);
  if (status == 401 || status == 403) return PermissionDenied("{}", text);
  if (status == 416) return OutOfRange("{}", text);
  return FailedPrecondition("{}", text);
}

// Where the body of a 206 begins, from "bytes 100-199/200".
std::optional<uint64_t> RangeStart(std::string_view content_range) {
  constexpr std::string_view kUnit = "bytes ";
  if (!content_range.starts_with(kUnit)) return std::nullopt;
  content_range.remove_prefix(kUnit.size());
  uint64_t start = 0;
  const char* end = content_range.data() + content_range.size();
  const auto [at, error] = std::from_chars(content_range.data(), end, start);
  if (error != std::errc() || at == end || *at != '-') return std::nullopt;
  return start;
}

}  // namespace

struct HttpsClient::Impl {
  Impl(std::string at, net::ServerTrust server_trust, net::ClientIdentity client)
      : address(std::move(at)), trust(std::move(server_trust)) {
    tls.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                    asio::ssl::context::no_tlsv1_1);
    SSL_CTX_set_verify(tls.native_handle(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_cert_verify_callback(tls.native_handle(), &Impl::VerifyServer, this);
    if (!client.certificate_pem.empty()) identity_status = UseIdentity(client);
  }

  absl::Status UseIdentity(const net::ClientIdentity& client) {
    QF_ASSIGN_OR_RETURN(const auto chain, trust::ReadCertificates(client.certificate_pem));
    QF_ASSIGN_OR_RETURN(const auto key, trust::ReadPrivateKey(client.private_pem));
    bool ok = SSL_CTX_use_certificate(tls.native_handle(), chain.front().get()) == 1 &&
              SSL_CTX_use_PrivateKey(tls.native_handle(), key.get()) == 1;
    for (size_t i = 1; ok && i < chain.size(); ++i)
      ok = SSL_CTX_add1_chain_cert(tls.native_handle(), chain[i].get()) == 1;
    if (!ok)
      return InvalidArgument("the client's certificate and key do not belong together: {}",
                             trust::TakeOpenSslError());
    return absl::OkStatus();
  }

  // OpenSSL's hook in place of its own verification: one rule for gRPC and HTTPS. It runs during
  // the handshake, so a foreign server gets neither the request nor the client's certificate.
  static int VerifyServer(X509_STORE_CTX* context, void* self_pointer) {
    Impl& self = *static_cast<Impl*>(self_pointer);
    try {
      std::string chain;
      const STACK_OF(X509)* presented = X509_STORE_CTX_get0_untrusted(context);
      for (int i = 0; i < sk_X509_num(presented); ++i)
        chain += trust::CertificateToPem(sk_X509_value(presented, i));
      self.server_status = net::CheckServer(chain, self.trust);
    } catch (const std::exception& e) {
      self.server_status = Internal("verifying the server: {}", e.what());
    }
    X509_STORE_CTX_set_error(
        context, self.server_status.ok() ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
    return self.server_status.ok() ? 1 : 0;
  }

  // Runs one step to its end: how a blocking call gets a deadline.
  error_code Await(asio::awaitable<error_code> step) {
    error_code result = asio::error::operation_aborted;
    asio::co_spawn(io, std::move(step), [&result](std::exception_ptr thrown, error_code error) {
      if (!thrown) result = error;
    });
    // Behind the step's beginning, so that what it waits for is there to be ended.
    const std::stop_callback on_stop(stop, [this] {
      asio::post(io, [this] {
        if (connection) connection->stream().Close();
      });
    });
    io.restart();
    io.run();
    return result;
  }

  absl::Status Connect(std::chrono::milliseconds timeout) {
    Close();
    QF_RETURN_IF_ERROR(identity_status);
    QF_ASSIGN_OR_RETURN(const HostPort to, SplitAddress(address));
    error_code error;
    asio::ip::tcp::resolver resolver(io);
    const auto found = resolver.resolve(to.host, to.port, error);
    if (error) return Unavailable("looking up {}: {}", to.host, error.message());
    std::vector<Protocol::endpoint> endpoints;
    for (const auto& entry : found) endpoints.emplace_back(entry.endpoint());

    connection = std::make_unique<ClientConnection>(io.get_executor(), &tls);
    if (asio::ip::make_address(to.host, error); error)
      SSL_set_tlsext_host_name(connection->stream().tls(), to.host.c_str());
    error = Await(connection->Connect(std::move(endpoints), timeout));
    if (error) return Fail("connecting", error);
    // A server that ends the handshake before its certificate is looked at has not been refused by
    // us.
    server_status = absl::OkStatus();
    error = Await(connection->Handshake(timeout));
    if (!server_status.ok()) {
      Close();
      return Annotate(server_status, address);
    }
    return error ? Fail("TLS handshake", error) : absl::OkStatus();
  }

  // Every broken connection may be whole at the next try.
  absl::Status Fail(std::string_view doing, const error_code& error) {
    Close();
    ERR_clear_error();
    if (stop.stop_requested()) return Cancelled("{}: {}: stopped", address, doing);
    if (error == beast::error::timeout)
      return Unavailable("{}: {}: timed out without progress", address, doing);
    return Unavailable("{}: {}: {}", address, doing, error.message());
  }

  void Close() {
    if (connection) connection->stream().Close();
    connection.reset();
  }

  // Sends the request and reads the answer's head. A kept-alive connection may have been closed
  // meanwhile by the server: then once again over a new one.
  absl::Status Exchange(const std::string& target, uint64_t first, const GetOptions& options) {
    const std::chrono::milliseconds timeout = options.timeout;
    const uint64_t length = options.length;
    Fields fields = {{"Host", address}, {"User-Agent", "quantfleet/" QUANTFLEET_VERSION}};
    if (length > 0)
      fields.emplace_back("Range", fmt::format("bytes={}-{}", first, first + length - 1));
    else if (first > 0)
      fields.emplace_back("Range", fmt::format("bytes={}-", first));
    if (options.past_caches) fields.emplace_back("Cache-Control", "no-cache");
    const std::string request = RequestText("GET", target, fields, "");
    for (bool reused = connection != nullptr;; reused = false) {
      if (!reused) QF_RETURN_IF_ERROR(Connect(timeout));
      const error_code error = Await(connection->Ask(request, timeout));
      if (!error) return absl::OkStatus();
      const bool answered = connection->answer().got_some();
      const absl::Status failure = Fail(target, error);
      if (!reused || answered || error == beast::error::timeout || absl::IsCancelled(failure))
        return failure;
    }
  }

  // Reads the body piece by piece; `skip` bytes of it are not wanted.
  absl::Status ReadBody(const std::string& target, uint64_t skip, uint64_t limit,
                        const std::function<absl::Status(ByteSpan)>& on_data,
                        std::chrono::milliseconds timeout) {
    std::vector<char> piece(kBodyPiece);
    uint64_t given = 0;
    while (!connection->answer().is_done()) {
      size_t size = 0;
      const error_code error = Await(connection->Next(piece, size, timeout));
      ByteSpan got = std::as_bytes(std::span(piece)).first(size);
      const size_t unwanted = static_cast<size_t>(std::min<uint64_t>(skip, got.size()));
      skip -= unwanted;
      got = got.subspan(unwanted);
      given += got.size();
      if (given > limit)
        return Refuse(DataLoss("{}: {}: the body is longer than the maximum of {} bytes", address,
                               target, limit));
      if (!got.empty())
        if (absl::Status refused = on_data(got); !refused.ok()) return Refuse(std::move(refused));
      if (error) return Fail(target, error);
    }
    if (!connection->answer().keep_alive()) Close();
    return absl::OkStatus();
  }

  // What is left of the body has not been read: the connection cannot serve another request.
  absl::Status Refuse(absl::Status status) {
    Close();
    return status;
  }

  const std::string address;
  const net::ServerTrust trust;
  asio::io_context io{1};
  asio::ssl::context tls{asio::ssl::context::tls_client};
  absl::Status identity_status, server_status;
  std::unique_ptr<ClientConnection> connection;  // null: not connected
  std::stop_token stop;                          // of the call under way
};

HttpsClient::HttpsClient(std::string address, net::ServerTrust trust, net::ClientIdentity identity)
    : impl_(std::make_unique<Impl>(std::move(address), std::move(trust), std::move(identity))) {}

HttpsClient::HttpsClient(HttpsClient&&) noexcept = default;
HttpsClient& HttpsClient::operator=(HttpsClient&&) noexcept = default;
HttpsClient::~HttpsClient() = default;

absl::StatusOr<HttpResponse> HttpsClient::Get(const std::string& target, uint64_t first,
                                              uint64_t limit,
                                              const std::function<absl::Status(ByteSpan)>& on_data,
                                              const GetOptions& options) {
  impl_->stop = options.stop;
  try {
    QF_RETURN_IF_ERROR(impl_->Exchange(target, first, options));
    const ClientConnection::Parser& answer = impl_->connection->answer();
    const auto& header = answer.get();
    const std::optional<uint64_t> announced =
        answer.content_length() ? std::optional<uint64_t>(*answer.content_length()) : std::nullopt;
    HttpResponse response;
    response.status = header.result_int();
    response.content_length = announced.value_or(0);
    response.retry_after = std::string(header[beast::http::field::retry_after]);

    uint64_t skip = 0;
    if (response.status == 206) {
      const auto start = RangeStart(header[beast::http::field::content_range]);
      if (!start || *start != first)
        return impl_->Refuse(
            DataLoss("{}: {}: the server sent a different range from the one requested",
                     impl_->address, target));
    } else if (response.status == 200) {
      skip = first;  // the server knows no ranges
    } else {
      const absl::Status status =
          StatusForHttp(response.status, std::string(header.reason()), response.retry_after);
      (void)impl_->ReadBody(
          target, 0, kErrorBodyLimit, [](ByteSpan) { return absl::OkStatus(); }, options.timeout);
      return Annotate(status, fmt::format("{}: {}", impl_->address, target));
    }
    if (announced && response.content_length > skip && response.content_length - skip > limit)
      return impl_->Refuse(DataLoss("{}: {}: the server announced {} bytes, but the maximum is {}",
                                    impl_->address, target, response.content_length - skip, limit));
    QF_RETURN_IF_ERROR(impl_->ReadBody(target, skip, limit, on_data, options.timeout));
    return response;
  } catch (const std::exception& e) {
    impl_->Close();
    return Unavailable("{}: {}: {}", impl_->address, target, e.what());
  }
}

}  // namespace quantfleet::http
