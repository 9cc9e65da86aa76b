// Models that another server answers for: here a second CompletionServer, or a socket that
// misbehaves.

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "agent/serve/completion_server.h"
#include "agent/serve/listen_address.h"
#include "tests/agent/serve/fake_engine.h"
#include "tests/common/http/http_client.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;
using testing::HttpClient;
using ::testing::Not;

constexpr char kAskTale[] = R"({"model":"demo","prompt":"Once","max_tokens":24})";
constexpr char kStreamTale[] = R"({"model":"demo","prompt":"Once","stream":true})";

class ForwardTest : public ::testing::Test {
 protected:
  std::unique_ptr<CompletionServer> Listen(const std::string& listen) {
    CompletionServer::Options options;
    options.listen = listen;
    auto server = CompletionServer::Start(options, clock_, random_);
    EXPECT_OK(server);
    return *std::move(server);
  }
  void SetUp() override {
    front_ = Listen("127.0.0.1:0");
    front_->SetModel("demo", upstream_);
  }
  // The server behind, with a model that says these words.
  std::shared_ptr<FakeEngine> StartBack(std::vector<std::string> words,
                                        const std::string& listen = "127.0.0.1:0") {
    back_ = Listen(listen);
    auto engine = std::make_shared<FakeEngine>(std::move(words));
    back_->SetModel("demo", engine);
    upstream_->SetAddress(back_->endpoint());
    return engine;
  }
  // A server that takes one request for a tale, says these bytes and closes. What it leaves unread
  // would have the kernel throw away what it said.
  std::jthread Misbehave(std::string bytes) {
    const auto socket = http::OpenListenSocket({"127.0.0.1", 0, {}});
    EXPECT_OK(socket);
    const timeval timeout{.tv_sec = testing::kLongEnough.count(), .tv_usec = 0};
    ::setsockopt(socket->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    upstream_->SetAddress(socket->endpoint);
    return std::jthread([fd = socket->fd, said = std::move(bytes)] {
      const int one = ::accept(fd, nullptr, nullptr);
      std::string request;
      char piece[4096];
      while (!request.ends_with(kAskTale)) {
        const ssize_t size = ::recv(one, piece, sizeof piece, 0);
        ASSERT_GT(size, 0) << "after " << request;
        request.append(piece, static_cast<size_t>(size));
      }
      ::send(one, said.data(), said.size(), MSG_NOSIGNAL);
      ::close(one);
      ::close(fd);
    });
  }

  const testing::TempDir dir_;
  const RealClock clock_;
  SeededRandom random_{7};
  const std::shared_ptr<Upstream> upstream_ = std::make_shared<Upstream>();
  std::unique_ptr<CompletionServer> back_, front_;
};

TEST_F(ForwardTest, RequestAndAnswerPassAsTheyAre) {
  for (const std::string& listen :
       {std::string("127.0.0.1:0"), "unix:" + (dir_.path() / "back.sock").string()}) {
    const auto engine = StartBack({" upon", " a", " time"}, listen);
    HttpClient client(front_->endpoint());
    for (int twice = 0; twice < 2; ++twice) {  // on one connection
      client.SendPost("/v1/completions", kAskTale);
      const std::string answer = client.ReadUntil("\r\n0\r\n\r\n");
      EXPECT_THAT(answer, HasSubstr("HTTP/1.1 200"));
      EXPECT_THAT(answer, HasSubstr("Content-Type: application/json"));
      EXPECT_THAT(answer, HasSubstr("\"text\":\" upon a time\""));
    }
    EXPECT_EQ(engine->last().max_tokens, 24);
    // What the server behind refuses, and pages that only it may know.
    client.SendPost("/v1/completions", R"({"prompt":7})");
    EXPECT_THAT(client.ReadUntil("\r\n0\r\n\r\n"), HasSubstr("HTTP/1.1 400"));
    client.SendPost("/v1/rerank", R"({"model":"demo"})");
    EXPECT_THAT(client.ReadUntil("\r\n0\r\n\r\n"), HasSubstr("\"not_found\""));
    EXPECT_THAT(client.Get("/v1/models").body, HasSubstr("\"demo\""));
  }
}

TEST_F(ForwardTest, OldClientsGetTheEndOfTheConnection) {
  StartBack({" upon"});
  HttpClient client(front_->endpoint());
  client.SendPost("/v1/completions", kAskTale, "1.0");
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, HasSubstr("\"text\":\" upon\""));
  EXPECT_THAT(answer, Not(HasSubstr("chunked")));
}

TEST_F(ForwardTest, StreamsAndEndsWhenTheClientLeaves) {
  const auto engine = StartBack({" upon"});
  engine->SetEndless();
  HttpClient client(front_->endpoint());
  client.SendPost("/v1/completions", kStreamTale);
  EXPECT_THAT(client.ReadUntil(" upon"), HasSubstr("text/event-stream"));
  client.ReadUntil("more ");  // while the answer goes on
  client.Close();
  EXPECT_TRUE(testing::Eventually([&] { return engine->cancelled != 0; }));
  upstream_->Drain(std::chrono::seconds(60));
  EXPECT_THAT(HttpClient(front_->endpoint()).Get("/metrics").body,
              HasSubstr("generations_cancelled_total 1"));
}

TEST_F(ForwardTest, ModelsAreToldApartByName) {
  StartBack({" behind"});
  front_->SetModel("own", std::make_shared<FakeEngine>(std::vector<std::string>{" here"}));
  HttpClient client(front_->endpoint());
  EXPECT_THAT(client.Post("/v1/completions", R"({"model":"own","prompt":"x"})").body,
              HasSubstr(" here"));
  EXPECT_EQ(client.Post("/v1/completions", R"({"prompt":"x"})").status, 400);
  client.SendPost("/v1/completions", kAskTale);
  EXPECT_THAT(client.ReadUntil("\r\n0\r\n\r\n"), HasSubstr(" behind"));
  // An engine in the place of the server, and the way back.
  front_->SetModel("demo", std::make_shared<FakeEngine>(std::vector<std::string>{" again"}));
  EXPECT_THAT(client.Post("/v1/completions", kAskTale).body, HasSubstr(" again"));
}

TEST_F(ForwardTest, WhoIsNotThereIsSaid) {
  const auto restarting = HttpClient(front_->endpoint()).Post("/v1/completions", kAskTale);
  EXPECT_EQ(restarting.status, 503);
  EXPECT_THAT(restarting.header, HasSubstr("Retry-After"));
  upstream_->SetAddress("unix:" + (dir_.path() / "nobody.sock").string());
  const auto gone = HttpClient(front_->endpoint()).Post("/v1/completions", kAskTale);
  EXPECT_EQ(gone.status, 502);
  EXPECT_THAT(gone.body, HasSubstr("runtime_failed"));
}

TEST_F(ForwardTest, NonsenseFromBehindIsNoAnswer) {
  for (const std::string& nonsense :
       {std::string("not HTTP at all\r\n\r\n"), std::string(),
        std::string("HTTP/1.1 200 OK\r\nX: ") + std::string(100'000, 'x')}) {
    const auto behind = Misbehave(nonsense);
    EXPECT_EQ(HttpClient(front_->endpoint()).Post("/v1/completions", kAskTale).status, 502);
  }
}

TEST_F(ForwardTest, AnAnswerThatBreaksOffIsSeenToBeCut) {
  const auto behind = Misbehave("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\nhalf");
  HttpClient client(front_->endpoint());
  client.SendPost("/v1/completions", kAskTale);
  const std::string answer = client.ReadAll();
  EXPECT_THAT(answer, HasSubstr("half"));
  EXPECT_THAT(answer, Not(HasSubstr("\r\n0\r\n")));
}

}  // namespace
}  // namespace quantfleet::agent
