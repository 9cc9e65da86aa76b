#include "common/http/https_client.h"

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <future>
#include <mutex>
#include <thread>

#include "common/trust/openssl_handles.h"
#include "tests/common/net/tls_fixture.h"
#include "tests/support/held_port.h"

namespace quantfleet::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast::http;
using asio::ip::tcp;
using net::ClientIdentity;
using Code = absl::StatusCode;
using std::chrono::milliseconds;

// Answers one connection after the other on a thread of its own, one request at a time, as the
// test's script says.
class ScriptedServer {
 public:
  struct Answer {
    int status = 200;
    std::string body = {};
    std::vector<std::pair<beast::field, std::string>> fields = {};
    bool close_after = false;       // without saying so beforehand
    bool hang = false;              // reads on, never answers
    size_t cut_body_at = SIZE_MAX;  // then the connection drops
    bool chunked = false;
  };
  using Script = std::function<Answer(const beast::request<beast::empty_body>&)>;

  ScriptedServer(const ClientIdentity& identity, const std::string& ca_pem, Script script)
      : script_(std::move(script)) {
    tls_.use_certificate_chain(asio::buffer(identity.certificate_pem + ca_pem));
    tls_.use_private_key(asio::buffer(identity.private_pem), asio::ssl::context::pem);
    tls_.add_certificate_authority(asio::buffer(ca_pem));
    tls_.set_verify_mode(asio::ssl::verify_peer);
    thread_ = std::thread([this] { Run(); });
  }
  ~ScriptedServer() {
    stopping_ = true;
    boost::system::error_code ignored;
    {
      std::lock_guard lock(mutex_);
      if (current_) current_->shutdown(tcp::socket::shutdown_both, ignored);
    }
    tcp::socket wake(io_);
    wake.connect(acceptor_.local_endpoint(), ignored);
    wake.close();
    thread_.join();
  }

  std::string address() const {
    return fmt::format("127.0.0.1:{}", acceptor_.local_endpoint().port());
  }
  int connections() const { return connections_; }
  std::string peer() const {
    std::lock_guard lock(mutex_);
    return peer_;
  }

 private:
  void Run() {
    while (!stopping_) {
      boost::system::error_code error;
      asio::ssl::stream<tcp::socket> stream(acceptor_.accept(io_, error), tls_);
      if (error || stopping_) continue;
      {
        std::lock_guard lock(mutex_);
        current_ = &stream.next_layer();
      }
      stream.handshake(asio::ssl::stream_base::server, error);
      if (!error) {
        ++connections_;
        {
          std::lock_guard lock(mutex_);
          X509* peer = SSL_get0_peer_certificate(stream.native_handle());
          peer_ = peer ? trust::CertificateToPem(peer) : "";
        }
        while (AnswerOne(stream)) {
        }
      }
      std::lock_guard lock(mutex_);
      current_ = nullptr;
    }
  }

  bool AnswerOne(asio::ssl::stream<tcp::socket>& stream) {
    boost::system::error_code error;
    boost::beast::flat_buffer buffer;
    beast::request<beast::empty_body> request;
    beast::read(stream, buffer, request, error);
    if (error) return false;
    const Answer answer = script_(request);
    if (answer.hang) {
      char byte;
      asio::read(stream, asio::buffer(&byte, 1), error);
      return false;
    }
    beast::response<beast::string_body> response(static_cast<beast::status>(answer.status), 11);
    for (const auto& [name, value] : answer.fields) response.set(name, value);
    response.body() = answer.body;
    if (answer.chunked)
      response.chunked(true);
    else
      response.prepare_payload();
    beast::response_serializer<beast::string_body> serializer(response);
    if (answer.cut_body_at != SIZE_MAX) {
      beast::write_header(stream, serializer, error);
      asio::write(stream, asio::buffer(answer.body.data(), answer.cut_body_at), error);
      return false;
    }
    beast::write(stream, serializer, error);
    return !error && !answer.close_after;
  }

  Script script_;
  asio::io_context io_{1};
  asio::ssl::context tls_{asio::ssl::context::tls_server};
  tcp::acceptor acceptor_{io_, {asio::ip::make_address("127.0.0.1"), 0}};
  std::atomic<bool> stopping_{false};
  std::atomic<int> connections_{0};
  mutable std::mutex mutex_;
  std::string peer_;
  tcp::socket* current_ = nullptr;
  std::thread thread_;
};

class HttpsClientTest : public net::TlsFixture {
 protected:
  void Serve(ScriptedServer::Script script) { Serve(ca_, ServerIdentity(ca_), std::move(script)); }
  void Serve(const trust::CertificateAuthority& ca, const ClientIdentity& identity,
             ScriptedServer::Script script) {
    server_ = std::make_unique<ScriptedServer>(identity, ca.certificate_pem(), std::move(script));
  }
  HttpsClient Client(const ClientIdentity& identity = {}) {
    return HttpsClient(server_->address(), {ca_.certificate_pem(), {}, {}}, identity);
  }
  absl::StatusOr<HttpResponse> Get(HttpsClient& client, std::string target = "/blob",
                                   uint64_t first = 0, uint64_t limit = 10 << 20,
                                   milliseconds timeout = milliseconds(20'000)) {
    body_.clear();
    return client.Get(target, first, limit,
                      [this](ByteSpan piece) {
                        body_.append(AsText(piece));
                        return absl::OkStatus();
                      },
                      {timeout});
  }

  std::unique_ptr<ScriptedServer> server_;
  std::string body_;
};

std::string LongBody() {
  std::string body(1'500'000, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 2654435761u >> 13);
  return body;
}

TEST_F(HttpsClientTest, FetchesOverOneKeptAliveConnection) {
  const std::string body = LongBody();
  Serve([&](const auto&) { return ScriptedServer::Answer{.body = body}; });
  HttpsClient client = Client();
  for (int i = 0; i < 3; ++i) {
    const auto response = Get(client);
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->content_length, body.size());
    EXPECT_TRUE(body_ == body);
  }
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpsClientTest, ChunkedBody) {
  Serve([&](const auto&) { return ScriptedServer::Answer{.body = "in chunks", .chunked = true}; });
  HttpsClient client = Client();
  ASSERT_TRUE(Get(client).ok());
  EXPECT_EQ(body_, "in chunks");
}

TEST_F(HttpsClientTest, ReadsARange) {
  std::string range;
  Serve([&](const auto& request) {
    range = std::string(request[beast::field::range]);
    return ScriptedServer::Answer{206, "56789", {{beast::field::content_range, "bytes 5-9/10"}}};
  });
  HttpsClient client = Client();
  const auto response = Get(client, "/blob", 5);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(range, "bytes=5-");
  EXPECT_EQ(body_, "56789");
  EXPECT_EQ(Get(client, "/blob", 4).status().code(), Code::kDataLoss)
      << "a range that was not asked for";
}

TEST_F(HttpsClientTest, AServerWithoutRangesStillGivesTheRest) {
  Serve([&](const auto&) { return ScriptedServer::Answer{.body = "0123456789"}; });
  HttpsClient client = Client();
  ASSERT_TRUE(Get(client, "/blob", 5, 5).ok());
  EXPECT_EQ(body_, "56789");
}

TEST_F(HttpsClientTest, PresentsTheClientsCertificate) {
  Serve([&](const auto&) { return ScriptedServer::Answer{}; });
  HttpsClient none = Client();
  ASSERT_TRUE(Get(none).ok());
  EXPECT_EQ(server_->peer(), "");
  none = HttpsClient("x:1", {}, {});  // lets the one-at-a-time server go
  const ClientIdentity device = DeviceIdentity(ca_, "d1");
  HttpsClient client = Client(device);
  ASSERT_TRUE(Get(client).ok());
  EXPECT_EQ(server_->peer(), device.certificate_pem);
}

TEST_F(HttpsClientTest, ForeignServerIsRefusedBeforeAnythingIsSent) {
  Serve(foreign_ca_, ServerIdentity(foreign_ca_), [&](const auto&) {
    ADD_FAILURE() << "a request reached the foreign server";
    return ScriptedServer::Answer{};
  });
  HttpsClient client = Client(DeviceIdentity(ca_, "d1"));
  const auto status = Get(client).status();
  EXPECT_EQ(status.code(), Code::kUnauthenticated) << status;
  HttpsClient first_contact(server_->address(), {"", ca_.fingerprint(), {}}, {});
  EXPECT_EQ(Get(first_contact).status().code(), Code::kUnauthenticated);
  EXPECT_EQ(server_->connections(), 0);
  EXPECT_EQ(server_->peer(), "");
}

TEST_F(HttpsClientTest, TimesFollowTheTrust) {
  Serve([&](const auto&) { return ScriptedServer::Answer{}; });
  HttpsClient in_1970(server_->address(),
                      {ca_.certificate_pem(), {}, [] { return FromUnixMillis(0); }}, {});
  EXPECT_EQ(Get(in_1970).status().code(), Code::kUnauthenticated);
  HttpsClient no_clock(server_->address(), {"", ca_.fingerprint(), [] { return std::nullopt; }},
                       {});
  EXPECT_TRUE(Get(no_clock).ok());
}

TEST_F(HttpsClientTest, StatusesBecomeCodes) {
  int status = 0;
  Serve([&](const auto&) {
    return ScriptedServer::Answer{status, "because", {{beast::field::retry_after, "7"}}};
  });
  HttpsClient client = Client();
  const std::pair<int, Code> cases[] = {
      {404, Code::kNotFound},          {401, Code::kPermissionDenied},
      {403, Code::kPermissionDenied},  {416, Code::kOutOfRange},
      {429, Code::kUnavailable},       {500, Code::kUnavailable},
      {503, Code::kUnavailable},       {400, Code::kFailedPrecondition},
      {302, Code::kFailedPrecondition}};
  for (const auto& [http_status, code] : cases) {
    status = http_status;
    const auto result = Get(client).status();
    EXPECT_EQ(result.code(), code) << result;
    EXPECT_NE(Message(result).find("retry after 7 s"), std::string::npos) << result;
    EXPECT_EQ(body_, "") << "an error's body is not the blob";
  }
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(HttpsClientTest, ABodyBeyondTheLimitIsRefused) {
  bool chunked = false;
  Serve([&](const auto&) {
    return ScriptedServer::Answer{.body = std::string(100'001, 'x'), .chunked = chunked};
  });
  HttpsClient client = Client();
  for (const bool c : {false, true}) {
    chunked = c;
    EXPECT_EQ(Get(client, "/blob", 0, 100'000).status().code(), Code::kDataLoss);
    EXPECT_LE(body_.size(), 100'000u);
    EXPECT_TRUE(Get(client, "/blob", 0, 100'001).ok());
  }
}

TEST_F(HttpsClientTest, ACutConnectionIsUnavailableAndGivesWhatCame) {
  bool cut = true;
  const std::string body = LongBody();
  Serve([&](const auto& request) {
    if (cut) return ScriptedServer::Answer{.body = body, .cut_body_at = 1'000'000};
    return ScriptedServer::Answer{
        206,
        body.substr(1'000'000),
        {{beast::field::content_range,
          fmt::format("bytes {}-1499999/1500000",
                      std::string(request[beast::field::range]).substr(6, 7))}}};
  });
  HttpsClient client = Client();
  EXPECT_EQ(Get(client).status().code(), Code::kUnavailable);
  EXPECT_TRUE(body_ == body.substr(0, 1'000'000));
  cut = false;
  ASSERT_TRUE(Get(client, "/blob", 1'000'000).ok());
  EXPECT_TRUE(body_ == body.substr(1'000'000));
}

TEST_F(HttpsClientTest, AConnectionThatTheServerClosedMeanwhileIsReplaced) {
  Serve([&](const auto&) { return ScriptedServer::Answer{.body = "x", .close_after = true}; });
  HttpsClient client = Client();
  for (int i = 0; i < 3; ++i) {
    const auto response = Get(client);
    ASSERT_TRUE(response.ok()) << response.status();
  }
  EXPECT_EQ(server_->connections(), 3);
}

TEST_F(HttpsClientTest, ASilentServerTimesOut) {
  Serve([&](const auto&) { return ScriptedServer::Answer{.hang = true}; });
  HttpsClient client = Client();
  const auto status = Get(client, "/blob", 0, 100, milliseconds(200)).status();
  EXPECT_EQ(status.code(), Code::kUnavailable) << status;
  EXPECT_NE(Message(status).find("timed out without progress"), std::string::npos) << status;
}

TEST_F(HttpsClientTest, AStopEndsWhatASilentServerHolds) {
  std::stop_source stop;
  std::promise<void> asked;
  std::atomic<bool> told{false};
  const std::jthread stopper([&] {
    asked.get_future().wait();
    stop.request_stop();
  });
  Serve([&](const auto&) {
    if (!told.exchange(true)) asked.set_value();
    return ScriptedServer::Answer{.hang = true};
  });
  HttpsClient client = Client();
  const auto began = std::chrono::steady_clock::now();
  const auto ended = client
                         .Get("/blob", 0, 100, [](ByteSpan) { return absl::OkStatus(); },
                              {.timeout = milliseconds(60'000), .stop = stop.get_token()})
                         .status();
  EXPECT_EQ(ended.code(), Code::kCancelled) << ended;
  EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(30'000));
  // One that was asked for before it begins, too.
  const auto never = client
                         .Get("/blob", 0, 100, [](ByteSpan) { return absl::OkStatus(); },
                              {.timeout = milliseconds(60'000), .stop = stop.get_token()})
                         .status();
  EXPECT_EQ(never.code(), Code::kCancelled) << never;
}

TEST_F(HttpsClientTest, CachesAreToldWhenWhatTheyHoldWasWrong) {
  std::vector<std::string> said;
  Serve([&](const auto& request) {
    said.emplace_back(request[beast::field::cache_control]);
    return ScriptedServer::Answer{.body = "x"};
  });
  HttpsClient client = Client();
  for (const bool past : {false, true})
    ASSERT_TRUE(client
                    .Get("/blob", 0, 100, [](ByteSpan) { return absl::OkStatus(); },
                         {.timeout = milliseconds(20'000), .past_caches = past})
                    .ok());
  EXPECT_EQ(said, (std::vector<std::string>{"", "no-cache"}));
}

TEST_F(HttpsClientTest, TheReceiverMayRefuse) {
  Serve([&](const auto&) { return ScriptedServer::Answer{.body = LongBody()}; });
  HttpsClient client = Client();
  const auto status =
      client
          .Get("/blob", 0, 10 << 20, [](ByteSpan) { return ResourceExhausted("disk full"); },
               {milliseconds(20'000)})
          .status();
  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_TRUE(Get(client).ok()) << "the next request is not answered with the rest of the last";
}

TEST_F(HttpsClientTest, BadAddressesAndIdentities) {
  for (const char* address : {"", "localhost", ":1", "localhost:"})
    EXPECT_EQ(
        HttpsClient(address, {}, {}).Get("/", 0, 1, nullptr, {milliseconds(100)}).status().code(),
        Code::kInvalidArgument)
        << address;
  Serve([&](const auto&) { return ScriptedServer::Answer{}; });
  ClientIdentity mixed = DeviceIdentity(ca_, "d1");
  mixed.private_pem = trust::GenerateTlsKey().private_pem;
  HttpsClient client = Client(mixed);
  EXPECT_EQ(Get(client).status().code(), Code::kInvalidArgument);
  const testing::HeldPort port;
  HttpsClient nobody(port.endpoint(), {ca_.certificate_pem(), {}, {}}, {});
  EXPECT_EQ(Get(nobody).status().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace quantfleet::http
