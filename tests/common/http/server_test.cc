// A server over plain sockets, driven by a client that may say anything. TLS is tried with the
// daemon's HTTPS side, passing on with the agent's endpoint.
#include "common/http/server.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "common/http/ask.h"
#include "tests/common/http/http_client.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::http {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using testing::HttpClient;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kGet[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr char kLastGet[] = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

class ServerTest : public ::testing::Test {
 protected:
  void Start(Handler handler, Server::Options options = {}) {
    options.refuse = [](const Refusal& refusal) -> std::optional<Response> {
      if (refusal.kind == Refusal::Kind::kCutShort) return std::nullopt;
      return Response{.status = 500 + static_cast<int>(refusal.kind)};
    };
    auto server = Server::Make(std::move(options), std::move(handler));
    ASSERT_OK(server);
    server_ = *std::move(server);
    const auto socket = OpenListenSocket({"127.0.0.1", 0, {}});
    ASSERT_OK(socket);
    at_ = {"127.0.0.1", socket->port, {}};
    endpoint_ = socket->endpoint;
    ASSERT_OK(server_->Listen(*socket));
  }
  void StartEcho(Server::Options options = {}) {
    Start(
        [](const ExchangePtr& exchange) {
          const Request& request = exchange->request();
          exchange->Reply({.fields = {{"X", "y"}}, .body = request.target + ' ' + request.body});
        },
        std::move(options));
  }
  std::string Ask(std::string_view request) {
    HttpClient client(endpoint_);
    client.Send(request);
    return client.ReadAll();
  }
  static std::string Status(Refusal::Kind kind) {
    return fmt::format("HTTP/1.1 {} ", 500 + static_cast<int>(kind));
  }

  ListenAddress at_;
  std::string endpoint_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AnswersOneRequestAfterTheOther) {
  StartEcho({.body_bytes = 100});
  const std::string two =
      Ask("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nConnection: "
          "close\r\n\r\n");
  EXPECT_EQ(two,
            "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 6\r\n\r\n/a abc"
            "HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\nContent-Length: 3\r\n\r\n/b ");
  EXPECT_EQ(server_->traffic().answers.at(200), 2u);
}

TEST_F(ServerTest, OldClientsAreAnsweredInTheirVersion) {
  StartEcho();
  EXPECT_THAT(Ask("GET / HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.0 200 "));
  HttpClient keeps(endpoint_);
  keeps.Send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(keeps.ReadUntil("/ "), HasSubstr("Connection: keep-alive"));
}

TEST_F(ServerTest, WhoAsksWhetherToSendIsToldToGoOn) {
  StartEcho({.body_bytes = 100});
  HttpClient client(endpoint_);
  client.Send("POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("abc");
  EXPECT_THAT(client.ReadUntil("/ abc"), StartsWith("HTTP/1.1 200 "));
  // Who sends the body all the same is not told, nor is a body awaited that is too large.
  client.Send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_THAT(client.ReadUntil("/ abc"), StartsWith("HTTP/1.1 200 "));
  client.Send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n");
  EXPECT_THAT(client.ReadAll(), StartsWith(Status(Refusal::Kind::kBodyTooLarge)));
}

TEST_F(ServerTest, AnAnswerWithoutContentHasNoLength) {
  Start([](const ExchangePtr& exchange) { exchange->Reply({.status = 204}); });
  EXPECT_EQ(Ask("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"),
            "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
}

TEST_F(ServerTest, WhoHasItsWholeStreamHasNotLeft) {
  std::atomic<int> left{0};
  Start([&left](const ExchangePtr& exchange) {
    exchange->OnLeft([&left] { ++left; });
    exchange->Begin(200, {});
    exchange->Write("all");
    exchange->End();
  });
  for (int i = 0; i < 20; ++i) {
    HttpClient client(endpoint_);
    client.Send(kGet);
    client.ReadUntil("all");
  }
  server_->Stop(std::chrono::seconds(10));
  EXPECT_EQ(left, 0);
}

TEST_F(ServerTest, HeadGetsNoBody) {
  StartEcho();
  const std::string head = Ask("HEAD /page HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Content-Length: 6\r\n"));
  EXPECT_THAT(head, ::testing::EndsWith("\r\n\r\n"));
}

TEST_F(ServerTest, RefusesWhatIsTooLargeOrNoHttp) {
  StartEcho({.head_bytes = 1000, .body_bytes = 10});
  EXPECT_THAT(Ask("nonsense\r\n\r\n"), StartsWith(Status(Refusal::Kind::kNotHttp)));
  EXPECT_THAT(Ask("GET / HTTP/1.1\r\nX: " + std::string(5000, 'x') + "\r\n\r\n"),
              StartsWith(Status(Refusal::Kind::kHeadTooLarge)));
  for (const std::string& body :
       {std::string("Content-Length: 11\r\n\r\nhello world"),
        std::string("Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n")})
    EXPECT_THAT(Ask("POST / HTTP/1.1\r\n" + body),
                StartsWith(Status(Refusal::Kind::kBodyTooLarge)));
  HttpClient half(endpoint_);
  half.Send("GET / HT");
  half.EndSending();
  EXPECT_EQ(half.ReadAll(), "");
}

TEST_F(ServerTest, ARefusalArrivesThoughTheClientStillSends) {
  StartEcho({.body_bytes = 10});
  HttpClient client(endpoint_);
  client.Send("POST / HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n");
  client.Send(std::string(2'000'000, 'x'));
  client.EndSending();
  EXPECT_THAT(client.ReadAll(), StartsWith(Status(Refusal::Kind::kBodyTooLarge)));
}

TEST_F(ServerTest, SilentClientsAreClosed) {
  StartEcho({.read_timeout = milliseconds(50)});
  HttpClient silent(endpoint_), slow(endpoint_);
  slow.Send("GET / HTTP/1.1\r\n");
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(slow.ReadAll(), "");
}

TEST_F(ServerTest, WhoIsTooManyIsTurnedAway) {
  StartEcho({.connections = {.most = 0, .most_turned_away = 5}});
  EXPECT_THAT(Ask(kGet), StartsWith(Status(Refusal::Kind::kCrowded)));
  EXPECT_EQ(server_->traffic().connections.refused, 1u);
}

TEST_F(ServerTest, AnswersLaterAndFromAnyThread) {
  std::vector<std::jthread> threads;
  Start([&threads](const ExchangePtr& exchange) {
    threads.emplace_back([exchange] { exchange->Reply({.body = "later"}); });
  });
  EXPECT_THAT(Ask(kLastGet), HasSubstr("\r\n\r\nlater"));
}

TEST_F(ServerTest, StreamsWhatIsWritten) {
  Start([](const ExchangePtr& exchange) {
    exchange->Begin(200, {{"Content-Type", "text/event-stream"}});
    exchange->Write("one");
    exchange->Post([exchange] {
      exchange->Write("two");
      exchange->End();
    });
  });
  HttpClient client(endpoint_);
  client.Send(kGet);
  const std::string answer = client.ReadUntil(kLastChunk);
  EXPECT_THAT(answer, HasSubstr("Transfer-Encoding: chunked"));
  EXPECT_THAT(answer, HasSubstr("one"));
  EXPECT_THAT(answer, HasSubstr("two\r\n0\r\n\r\n"));
  client.Send(kGet);  // the connection is still good
  EXPECT_THAT(client.ReadUntil(kLastChunk), HasSubstr("two"));
  const std::string old = Ask("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(old, ::testing::EndsWith("\r\n\r\nonetwo"));
}

TEST_F(ServerTest, ReadsABodyPieceByPiece) {
  const std::string whole(200'000, 'z');
  Start([&whole](const ExchangePtr& exchange) {
    const uint64_t fails_at = exchange->request().target == "/bad" ? 100'000 : UINT64_MAX;
    exchange->Reply({.source =
                         [&whole, fails_at, at = size_t{0}](MutableBytes part) mutable {
                           std::memcpy(part.data(), whole.data() + at, part.size());
                           at += part.size();
                           return at > fails_at ? Internal("gone") : absl::OkStatus();
                         },
                     .source_size = whole.size()});
  });
  EXPECT_THAT(Ask(kLastGet), ::testing::EndsWith(whole));
  EXPECT_EQ(server_->traffic().source_bytes, whole.size());
  const std::string cut = Ask("GET /bad HTTP/1.1\r\n\r\n");
  EXPECT_THAT(cut, HasSubstr("Content-Length: 200000"));
  EXPECT_LT(cut.size(), 150'000u);
}

TEST_F(ServerTest, AHandlerThatThrowsOrForgetsIsAFailure) {
  Start([](const ExchangePtr& exchange) {
    if (exchange->request().target == "/throws") throw std::runtime_error("no");
    if (exchange->request().target == "/stops") exchange->Begin(200, {});
  });
  const std::string failed = Status(Refusal::Kind::kFailed);
  EXPECT_THAT(Ask("GET /throws HTTP/1.1\r\nConnection: close\r\n\r\n"), StartsWith(failed));
  EXPECT_THAT(Ask("GET /forgets HTTP/1.1\r\nConnection: close\r\n\r\n"), StartsWith(failed));
  EXPECT_THAT(Ask("GET /stops HTTP/1.1\r\n\r\n"), Not(HasSubstr(kLastChunk)));
}

TEST_F(ServerTest, TellsThatAClientLeftWhileItWaited) {
  std::promise<void> left;
  ExchangePtr kept;
  Start([&](const ExchangePtr& exchange) {
    exchange->OnLeft([&left] { left.set_value(); });
    kept = exchange;
  });
  {
    HttpClient client(endpoint_);
    client.Send(kGet);
  }
  EXPECT_TRUE(testing::Arrives(left.get_future()));
  server_->Stop(milliseconds(0));
  kept.reset();
}

TEST_F(ServerTest, WhoHasItsAnswerHasNotLeft) {
  std::atomic<int> left{0};
  Start([&left](const ExchangePtr& exchange) {
    exchange->OnLeft([&left] { ++left; });
    exchange->Post([exchange] { exchange->Reply({.body = "answer"}); });
  });
  for (int i = 0; i < 20; ++i) {
    HttpClient client(endpoint_);
    client.Send(kGet);
    client.ReadUntil("answer");
  }
  server_->Stop(std::chrono::seconds(10));
  EXPECT_EQ(left, 0);
}

TEST_F(ServerTest, FinishesWhatIsUnderWayAndTakesNoMore) {
  const auto asked = std::make_shared<std::promise<ExchangePtr>>();
  Start([asked](const ExchangePtr& exchange) { asked->set_value(exchange); });
  HttpClient idle(endpoint_), busy(endpoint_);
  busy.Send(kGet);
  std::future<ExchangePtr> first = asked->get_future();
  ASSERT_TRUE(testing::Arrives(first));
  ExchangePtr exchange = first.get();
  server_->Drain();
  EXPECT_EQ(idle.ReadAll(), "") << "closed at once";
  exchange->Reply({.body = "the last"});
  exchange.reset();
  const std::string answer = busy.ReadAll();
  EXPECT_THAT(answer, HasSubstr("Connection: close"));
  EXPECT_THAT(answer, HasSubstr("the last"));
  server_->Stop(std::chrono::seconds(10));
}

TEST_F(ServerTest, ListensInSeveralPlaces) {
  StartEcho();
  const testing::TempDir dir;
  const ListenAddress local{{}, 0, dir.path() / "http.sock"};
  const auto socket = OpenListenSocket(local);
  ASSERT_OK(socket);
  ASSERT_OK(server_->Listen(*socket));
  for (const ListenAddress& at : {at_, local}) {
    const auto answer =
        http::Ask(at, "here", "/x", "", std::chrono::seconds(60), std::stop_token());
    ASSERT_OK(answer);
    EXPECT_EQ(answer->body, "/x ");
  }
}

TEST(ListenSocket, TellsWhatIsTaken) {
  const auto first = OpenListenSocket({"127.0.0.1", 0, {}});
  ASSERT_OK(first);
  int error = 0;
  EXPECT_ERROR(OpenListenSocket({"127.0.0.1", first->port, {}}, &error), kUnavailable,
               first->endpoint);
  EXPECT_EQ(error, EADDRINUSE);
  ::close(first->fd);
  for (const char* host : {"127.0.0.1", "::1", "0.0.0.0", "::"}) EXPECT_TRUE(IsNumericHost(host));
  for (const char* host : {"", "localhost", "127.1", "::1%nowhere", "1.2.3.4.5"})
    EXPECT_FALSE(IsNumericHost(host)) << host;
}

}  // namespace
}  // namespace quantfleet::http
