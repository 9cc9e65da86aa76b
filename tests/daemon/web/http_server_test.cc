// The HTTPS side alone, over real TLS, driven by a raw client that may say anything.
#include "daemon/web/http_server.h"

#include <gmock/gmock.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "common/http/listen_socket.h"
#include "common/trust/openssl_handles.h"
#include "tests/support/faulty_blob_store.h"
#include "tests/support/memory_blob_store.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Identity {
  std::string certificate_pem, private_pem;
};

Identity Issue(const trust::CertificateAuthority& ca, trust::Subject subject) {
  const RealClock clock;
  const trust::KeyPair key = trust::GenerateTlsKey();
  return {ca.Issue(key.public_pem, subject, std::chrono::hours(1), clock).value(), key.private_pem};
}

// A TLS connection that accepts any server. What cannot be sent or read counts as "".
class RawClient {
 public:
  RawClient(uint16_t port, const Identity* identity) : context_(SSL_CTX_new(TLS_client_method())) {
    signal(SIGPIPE, SIG_IGN);  // OpenSSL writes with write(2)
    if (identity) {
      const auto chain = trust::ReadCertificates(identity->certificate_pem).value();
      const auto key = trust::ReadPrivateKey(identity->private_pem).value();
      SSL_CTX_use_certificate(context_.get(), chain.front().get());
      SSL_CTX_use_PrivateKey(context_.get(), key.get());
    }
    bio_.reset(BIO_new_ssl_connect(context_.get()));
    BIO_set_conn_hostname(bio_.get(), fmt::format("127.0.0.1:{}", port).c_str());
  }
  ~RawClient() { ERR_clear_error(); }

  // Everything that comes until the server closes the connection.
  std::string Exchange(std::string_view request) {
    std::string answer;
    if (BIO_do_connect(bio_.get()) <= 0) return answer;
    BIO_write(bio_.get(), request.data(), static_cast<int>(request.size()));
    char piece[16 << 10];
    for (int n; (n = BIO_read(bio_.get(), piece, sizeof piece)) > 0;)
      answer.append(piece, static_cast<size_t>(n));
    return answer;
  }

 private:
  struct FreeContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  std::unique_ptr<SSL_CTX, FreeContext> context_;
  trust::BioPtr bio_;
};

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    for (int i = 0; i < 300'000; ++i) content_ += static_cast<char>('a' + i % 26);
    EXPECT_OK(blobs_.PutForm(digest_, pipeline::Encoding::kRaw, AsBytes(content_)));
    Start({});
  }

  void Start(HttpServer::Options options) {
    server_.reset();
    const Identity identity =
        Issue(ca_, {trust::Subject::Kind::kServer, "d", "", {}, {"127.0.0.1"}});
    options.ca_pem = ca_.certificate_pem();
    options.certificate_pem = identity.certificate_pem;
    options.private_pem = identity.private_pem;
    HttpServer::Handlers handlers;
    handlers.authorize = [](const trust::CertificateInfo& info) -> absl::Status {
      if (info.subject.id == "revoked") return PermissionDenied("revoked");
      return absl::OkStatus();
    };
    handlers.metrics = [](HttpServer::Traffic traffic) {
      return fmt::format("bytes {}\n", traffic.blob_bytes);
    };
    handlers.ready = [this]() -> absl::Status {
      return ready_ ? absl::OkStatus() : Unavailable("secret detail");
    };
    handlers.for_device = [this](const absl::Status& error) {
      if (error.code() != absl::StatusCode::kInternal) return error;
      const std::lock_guard lock(mutex_);
      hidden_ = Message(error);
      return Internal("see the log");
    };
    handlers.unreadable = [this](const Digest& blob) {
      const std::lock_guard lock(mutex_);
      unreadable_.push_back(blob);
      return comes_back_.load();
    };
    auto server = HttpServer::Start(faulty_, options, std::move(handlers));
    ASSERT_OK(server.status());
    server_ = *std::move(server);
  }

  std::string Ask(std::string_view request, const Identity* identity) {
    return RawClient(server_->port(), identity).Exchange(request);
  }
  std::string Blob(std::string_view method, std::string_view headers, const Identity* identity) {
    return Ask(fmt::format("{} /v1/blobs/{}.raw HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{}\r\n",
                           method, hex_, headers),
               identity);
  }
  std::string Hidden() {
    const std::lock_guard lock(mutex_);
    return hidden_;
  }
  std::vector<Digest> Unreadable() {
    const std::lock_guard lock(mutex_);
    return unreadable_;
  }
  static std::string Body(const std::string& answer) {
    const size_t at = answer.find("\r\n\r\n");
    return at == std::string::npos ? "" : answer.substr(at + 4);
  }

  const std::string hex_ = std::string(64, 'a');
  const Digest digest_ = *Digest::FromHexText(hex_);
  testing::MemoryBlobStore blobs_;
  testing::FaultyBlobStore faulty_{blobs_};
  RealClock clock_;
  trust::CertificateAuthority ca_ = trust::CertificateAuthority::Create("test", clock_);
  Identity device_ = Issue(ca_, {trust::Subject::Kind::kDevice, "d-1", "", {}, {}});
  std::string content_;
  std::atomic<bool> ready_ = true, comes_back_ = false;
  std::mutex mutex_;
  std::string hidden_;              // what a device was not told; guarded by mutex_
  std::vector<Digest> unreadable_;  // blobs that a client could not read; guarded by mutex_
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, GivesAWholeBlob) {
  const std::string answer = Blob("GET", "", &device_);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer, HasSubstr("ETag: \"" + hex_ + ".raw\""));
  EXPECT_THAT(answer, HasSubstr("immutable"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 300000\r\n"));
  EXPECT_TRUE(Body(answer) == content_);
  const std::string head = Blob("HEAD", "", &device_);
  EXPECT_THAT(head, HasSubstr("Content-Length: 300000\r\n"));
  EXPECT_EQ(Body(head).size(), 0u);
}

TEST_F(HttpServerTest, GivesRanges) {
  const std::string part = Blob("GET", "Range: bytes=100000-100009\r\n", &device_);
  EXPECT_THAT(part, StartsWith("HTTP/1.1 206 "));
  EXPECT_THAT(part, HasSubstr("Content-Range: bytes 100000-100009/300000\r\n"));
  EXPECT_EQ(Body(part), content_.substr(100000, 10));
  EXPECT_TRUE(Body(Blob("GET", "Range: bytes=65537-\r\n", &device_)) == content_.substr(65537));
  const std::string beyond = Blob("GET", "Range: bytes=300000-\r\n", &device_);
  EXPECT_THAT(beyond, StartsWith("HTTP/1.1 416 "));
  EXPECT_THAT(beyond, HasSubstr("Content-Range: bytes */300000\r\n"));
  // A range of another version of the blob (there is none) gets the whole one.
  EXPECT_THAT(Blob("GET", "Range: bytes=5-\r\nIf-Range: \"other\"\r\n", &device_),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Blob("GET", "If-None-Match: \"" + hex_ + ".raw\"\r\n", &device_),
              StartsWith("HTTP/1.1 304 "));
}

TEST_F(HttpServerTest, SaysWhatTheBlobStoreAnswers) {
  faulty_.Fail(Unavailable("secret detail"));
  const std::string gone = Blob("GET", "", &device_);
  EXPECT_THAT(gone, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(gone, Not(HasSubstr("secret")));
  EXPECT_THAT(gone, HasSubstr("see the log"));
  EXPECT_THAT(Hidden(), HasSubstr("secret detail")) << "whoever logs it has the whole";
  faulty_.Fail(absl::OkStatus());
  faulty_.CutAfter(100'000);
  const std::string cut = Blob("GET", "", &device_);
  EXPECT_THAT(cut, HasSubstr("Content-Length: 300000\r\n"));
  EXPECT_LE(Body(cut).size(), 100'000u) << "the connection is cut where the bytes end";
  faulty_.CutAfter(std::nullopt);
  ASSERT_OK(blobs_.Remove(digest_));
  EXPECT_THAT(Blob("GET", "", &device_), StartsWith("HTTP/1.1 404 "));
}

TEST_F(HttpServerTest, SaysThatABlobIsMissingOrShorterThanItsClientKnows) {
  Blob("GET", "", &device_);
  EXPECT_THAT(Unreadable(), ::testing::IsEmpty());
  EXPECT_THAT(Blob("GET", "Range: bytes=300000-\r\n", &device_), StartsWith("HTTP/1.1 416 "));
  ASSERT_OK(blobs_.Remove(digest_));
  comes_back_ = true;
  EXPECT_THAT(Blob("GET", "", &device_), StartsWith("HTTP/1.1 503 ")) << "to be asked for again";
  EXPECT_THAT(Unreadable(), ::testing::ElementsAre(digest_, digest_));
  EXPECT_THAT(Blob("GET", "", nullptr), StartsWith("HTTP/1.1 401 "));
  EXPECT_EQ(Unreadable().size(), 2u) << "strangers are not heard";
}

TEST_F(HttpServerTest, BlobsNeedACertificateThatIsAccepted) {
  EXPECT_THAT(Blob("GET", "", nullptr), StartsWith("HTTP/1.1 401 "));
  const Identity revoked = Issue(ca_, {trust::Subject::Kind::kDevice, "revoked", "", {}, {}});
  EXPECT_THAT(Blob("GET", "", &revoked), StartsWith("HTTP/1.1 403 "));
  const auto foreign_ca = trust::CertificateAuthority::Create("foreign", clock_);
  const Identity foreign = Issue(foreign_ca, {trust::Subject::Kind::kDevice, "d-1", "", {}, {}});
  EXPECT_EQ(Blob("GET", "", &foreign), "");  // not even a handshake
}

TEST_F(HttpServerTest, OpenPagesNeedNoCertificate) {
  const auto page = [&](std::string_view path) {
    return Ask(fmt::format("GET {} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", path),
               nullptr);
  };
  EXPECT_THAT(page("/livez"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(page("/readyz"), StartsWith("HTTP/1.1 200 "));
  Blob("GET", "Range: bytes=0-6\r\n", &device_);
  EXPECT_THAT(page("/metrics"), HasSubstr("bytes 7\n"));
  EXPECT_THAT(page("/nothing"), StartsWith("HTTP/1.1 404 "));
  ready_ = false;
  EXPECT_THAT(page("/readyz"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(page("/readyz"), Not(HasSubstr("secret")));
  EXPECT_THAT(page("/livez"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, RefusesWhatIsNoRequestForIt) {
  EXPECT_THAT(Ask("rubbish\r\n\r\n", nullptr), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Blob("POST", "", &device_), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(Ask("GET /livez HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", nullptr),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(Ask("GET /livez HTTP/1.1\r\nX: " + std::string(9000, 'x') + "\r\n\r\n", nullptr),
              StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(
      Ask("GET /v1/blobs/..%2f..%2fadmin.json HTTP/1.1\r\nConnection: close\r\n\r\n", &device_),
      StartsWith("HTTP/1.1 404 "));
}

TEST_F(HttpServerTest, KeepsConnectionsAliveAndClosesIdleOnes) {
  // A busy machine may take the shorter times to connect: the client was idle then.
  int answers = 0;
  for (const int idle_ms : {100, 1'000, 10'000}) {
    HttpServer::Options options;
    options.idle_timeout = std::chrono::milliseconds(idle_ms);
    Start(options);
    const std::string two = Ask(
        "GET /livez HTTP/1.1\r\nHost: h\r\n\r\nGET /readyz HTTP/1.1\r\nHost: h\r\n\r\n", nullptr);
    // The server has ended the connection, or this would not be here.
    answers = 0;
    for (size_t at = 0; (at = two.find("HTTP/1.1 200", at)) != std::string::npos; ++at) ++answers;
    if (answers == 2) break;
  }
  EXPECT_EQ(answers, 2);
}

TEST_F(HttpServerTest, BoundsTheNumberOfConnections) {
  HttpServer::Options options;
  options.max_connections = 0;
  Start(options);
  EXPECT_EQ(Ask("GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", nullptr), "");
}

// Of one address here; most of them are refused, and some give way.
TEST_F(HttpServerTest, SilentConnectionsDoNotKeepOutWhoAsks) {
  HttpServer::Options options;
  options.max_connections = 16;
  options.patience = std::chrono::milliseconds(0);
  Start(options);
  std::vector<int> silent;
  const http::SocketAddress at = http::ToSocketAddress({"127.0.0.1", server_->port(), {}});
  for (int i = 0; i < 40; ++i) {
    silent.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(silent.back(), reinterpret_cast<const sockaddr*>(&at.at), at.size), 0);
  }
  EXPECT_THAT(Ask("GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", nullptr),
              StartsWith("HTTP/1.1 200 "));
  for (const int fd : silent) ::close(fd);
}

TEST_F(HttpServerTest, SaysWhenThePortIsTaken) {
  HttpServer::Options options;
  options.port = server_->port();
  const Identity identity = Issue(ca_, {trust::Subject::Kind::kServer, "d", "", {}, {"127.0.0.1"}});
  options.ca_pem = ca_.certificate_pem();
  options.certificate_pem = identity.certificate_pem;
  options.private_pem = identity.private_pem;
  EXPECT_ERROR(HttpServer::Start(faulty_, options, {}), kUnavailable, std::to_string(options.port));
  options.host = "not an address";
  EXPECT_ERROR(HttpServer::Start(faulty_, options, {}), kInvalidArgument, "not an address");
}

TEST_F(HttpServerTest, StopsWhileAClientIsIdle) {
  RawClient idle(server_->port(), nullptr);
  std::thread client([&] { idle.Exchange("GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"); });
  server_->Stop();
  client.join();
}

}  // namespace
}  // namespace quantfleet::daemon
