#include "agent/serve/completion_server.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "agent/serve/serve_metrics.h"
#include "tests/agent/serve/fake_engine.h"
#include "tests/common/http/http_client.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::HttpClient;
using ::testing::Not;

constexpr char kTemplate[] =
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}{{ "
    "'<|assistant|>\n' }}";
constexpr char kAskStory[] = R"({"model":"demo","prompt":"Once","max_tokens":24,"temperature":0})";

class CompletionServerTest : public ::testing::Test {
 protected:
  void Start(CompletionServer::Options options = {}) {
    auto server = CompletionServer::Start(options, clock_, random_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::shared_ptr<FakeEngine> Serve(std::vector<std::string> words,
                                    std::string chat_template = "") {
    auto engine = std::make_shared<FakeEngine>(std::move(words), std::move(chat_template));
    server_->SetModel("demo", engine);
    engines_.push_back(engine);
    return engine;
  }
  // A test that failed while an engine was held ends all the same.
  void TearDown() override {
    for (const auto& engine : engines_) engine->Release();
  }
  // Requests of several connections are read in no particular order, so a test that needs one asks.
  void AwaitWaiting(int count) {
    HttpClient client(server_->endpoint());
    const std::string line = kMetricWaiting + (" " + std::to_string(count)) + "\n";
    EXPECT_TRUE(testing::Eventually([&] {
      return client.Get("/metrics").body.find("\n" + line) != std::string::npos;
    })) << "there are never "
        << count << " waiting";
  }
  HttpClient::Answer Post(std::string_view path, std::string_view body) {
    return HttpClient(server_->endpoint()).Post(path, body);
  }
  static std::string ErrorCode(const HttpClient::Answer& answer) {
    return boost::json::parse(answer.body).at("error").at("code").as_string().c_str();
  }

  RealClock clock_;
  SeededRandom random_{5};
  std::unique_ptr<CompletionServer> server_;
  std::vector<std::shared_ptr<FakeEngine>> engines_;
};

TEST_F(CompletionServerTest, Completes) {
  Start();
  const auto engine = Serve({" upon", " a", " time"});
  HttpClient client(server_->endpoint());
  const auto answer = client.Post("/v1/completions", kAskStory);
  EXPECT_EQ(answer.status, 200) << answer.body;
  const auto json = boost::json::parse(answer.body);
  EXPECT_EQ(json.at("choices").at(0).at("text"), " upon a time");
  EXPECT_EQ(json.at("usage").at("completion_tokens"), 3);
  EXPECT_EQ(json.at("model"), "demo");
  EXPECT_EQ(engine->last().prompt, "Once");
  EXPECT_EQ(engine->last().max_tokens, 24);
  EXPECT_EQ(engine->last().sampling.temperature, 0);
  // The same connection again.
  EXPECT_EQ(client.Post("/v1/completions", kAskStory).status, 200);
}

TEST_F(CompletionServerTest, WhatARequestDoesNotSayIsSampledAsTheModelRecommends) {
  Start();
  const auto engine = Serve({"Hello"});
  engine->recommended = {.temperature = 0.6f, .top_k = 20, .top_p = 0.9f};
  EXPECT_EQ(Post("/v1/completions", R"({"prompt":"a"})").status, 200);
  EXPECT_EQ(engine->last().sampling.temperature, 0.6f);
  EXPECT_EQ(engine->last().sampling.top_k, 20);
  EXPECT_EQ(engine->last().sampling.top_p, 0.9f);
  EXPECT_EQ(Post("/v1/completions", R"({"prompt":"a","temperature":1,"top_k":0,"seed":3})").status,
            200);
  EXPECT_EQ(engine->last().sampling.temperature, 1);
  EXPECT_EQ(engine->last().sampling.top_k, 0);
  EXPECT_EQ(engine->last().sampling.top_p, 0.9f);
  EXPECT_EQ(engine->last().sampling.seed, 3u);
}

TEST_F(CompletionServerTest, Chats) {
  Start();
  const auto engine = Serve({"Hello"}, kTemplate);
  const auto answer =
      Post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(boost::json::parse(answer.body).at("choices").at(0).at("message").at("content"),
            "Hello");
  EXPECT_EQ(engine->last().prompt, "<|user|>\nHi<|end|>\n<|assistant|>\n");
  EXPECT_THAT(engine->last().stop, ElementsAre("<|end|>"));
}

TEST_F(CompletionServerTest, Streams) {
  Start();
  Serve({" upon", " a", " time"});
  HttpClient client(server_->endpoint());
  client.SendPost("/v1/completions",
                  R"({"prompt":"Once","stream":true,"stream_options":{"include_usage":true}})");
  const std::string stream = client.ReadUntil("0\r\n\r\n");
  EXPECT_THAT(stream, HasSubstr("Content-Type: text/event-stream"));
  std::string text;
  int pieces = 0;
  for (size_t at = 0; (at = stream.find("data: {", at)) != std::string::npos; ++pieces) {
    at += 6;
    const auto piece = boost::json::parse(stream.substr(at, stream.find("\n\n", at) - at));
    if (!piece.at("choices").as_array().empty())
      text += piece.at("choices").at(0).at("text").as_string().c_str();
  }
  EXPECT_EQ(text, " upon a time");
  EXPECT_EQ(pieces, 5)
      << "each word its own, however late they are sent, then the end and the usage";
  EXPECT_THAT(stream, HasSubstr("\"finish_reason\":\"stop\""));
  EXPECT_THAT(stream, HasSubstr("\"completion_tokens\":3"));
  EXPECT_THAT(stream, HasSubstr("data: [DONE]\n\n"));
  // The connection is still good.
  EXPECT_EQ(client.Get("/v1/models").status, 200);
}

TEST_F(CompletionServerTest, StreamsToHttp10UntilTheConnectionEnds) {
  Start();
  Serve({" upon"});
  HttpClient client(server_->endpoint());
  client.SendPost("/v1/completions", R"({"prompt":"Once","stream":true})", "1.0");
  const std::string stream = client.ReadAll();
  EXPECT_THAT(stream, Not(HasSubstr("chunked")));
  EXPECT_THAT(stream, HasSubstr("data: [DONE]\n\n"));
}

TEST_F(CompletionServerTest, ErrorBeforeTheFirstWordHasItsStatusAlsoInAStream) {
  Start();
  Serve({})->error = OutOfRange("the prompt has 5000 tokens, the context 64");
  const auto answer = Post("/v1/completions", R"({"prompt":"Once","stream":true})");
  EXPECT_EQ(answer.status, 400);
  EXPECT_THAT(answer.body, HasSubstr("5000 tokens"));
  EXPECT_EQ(ErrorCode(answer), "context_length_exceeded");
}

TEST_F(CompletionServerTest, ModelsAndHealthFollowWhatRuns) {
  Start();
  HttpClient client(server_->endpoint());
  EXPECT_EQ(client.Get("/health").status, 503);
  EXPECT_EQ(Post("/v1/completions", kAskStory).status, 503);
  Serve({"x"});
  EXPECT_EQ(client.Get("/health").status, 200);
  EXPECT_EQ(boost::json::parse(client.Get("/v1/models").body).at("data").at(0).at("id"), "demo");
  const auto unknown = Post("/v1/completions", R"({"model":"other","prompt":"x"})");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(ErrorCode(unknown), "model_not_found");
  server_->RemoveModel("demo");
  EXPECT_EQ(client.Get("/health").status, 503);
}

TEST_F(CompletionServerTest, WrongRequests) {
  Start();
  Serve({"x"});
  EXPECT_EQ(Post("/v1/completions", R"({"model":"demo"})").status, 400);
  EXPECT_EQ(Post("/v1/completions", "{").status, 400);
  EXPECT_EQ(Post("/v2/completions", kAskStory).status, 404);
  EXPECT_EQ(HttpClient(server_->endpoint()).Get("/v1/completions").status, 405);
  EXPECT_EQ(HttpClient(server_->endpoint()).Get("/health", "evil.example").status, 403);
  HttpClient garbage(server_->endpoint());
  garbage.Send("this is not HTTP\r\n\r\n");
  EXPECT_EQ(garbage.ReadAnswer().status, 400);
}

TEST_F(CompletionServerTest, WhatAPageOfElsewhereMaySendIsRefused) {
  Start();
  Serve({"x"});
  const auto post = [&](std::string fields) {
    HttpClient client(server_->endpoint());
    client.Send(fmt::format("POST /v1/completions HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n{}",
                            fields, std::string_view(kAskStory).size(), kAskStory));
    return client.ReadAnswer();
  };
  const std::string host = "Host: localhost\r\n";
  EXPECT_EQ(post(host).status, 200);
  EXPECT_EQ(post(host + "Content-Type: application/x-www-form-urlencoded\r\n").status, 200)
      << "what curl says of -d";
  EXPECT_EQ(post(host + "Origin: http://localhost:3000\r\n").status, 200);
  EXPECT_EQ(ErrorCode(post("Host: [::1]evil.com\r\n")), "foreign_host");
  EXPECT_EQ(ErrorCode(post(host + "Origin: https://evil.com\r\n")), "foreign_origin");
  EXPECT_EQ(ErrorCode(post(host + "Origin: null\r\n")), "foreign_origin");
  const auto plain = post(host + "Content-Type: Text/Plain;charset=UTF-8\r\n");
  EXPECT_EQ(plain.status, 403);
  EXPECT_EQ(ErrorCode(plain), "wrong_content_type");
}

TEST_F(CompletionServerTest, AnEncodedBodyIs415) {
  Start();
  Serve({"x"});
  HttpClient client(server_->endpoint());
  client.Send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
      "Content-Length: 3\r\n\r\n\x1f\x8b\b");
  const auto answer = client.ReadAnswer();
  EXPECT_EQ(answer.status, 415);
  EXPECT_EQ(ErrorCode(answer), "encoded_body");
}

TEST_F(CompletionServerTest, HeadAndOptionsAreAnswered) {
  Start();
  Serve({"x"});
  HttpClient client(server_->endpoint());
  client.Send("HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), HasSubstr("200 OK"));
  client.Send("OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string options = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(options, HasSubstr("204 No Content"));
  EXPECT_THAT(options, HasSubstr("Allow: OPTIONS, POST\r\n"));
  client.Send("GET http://evil.com/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(ErrorCode(client.ReadAnswer()), "foreign_host");
  client.Send("GET http://localhost/v1/models HTTP/1.1\r\nHost: evil.com\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer().status, 200);
}

TEST_F(CompletionServerTest, TheListOfModelsSaysTheSameUntilOneChanges) {
  ManualClock clock;
  auto server = CompletionServer::Start({}, clock, random_);
  ASSERT_TRUE(server.ok()) << server.status();
  (*server)->SetModel("demo", std::make_shared<FakeEngine>(std::vector<std::string>{"x"}));
  HttpClient client((*server)->endpoint());
  const std::string before = client.Get("/v1/models").body;
  clock.Advance(std::chrono::hours(5));
  EXPECT_EQ(client.Get("/v1/models").body, before);
  const std::string one = client.Get("/v1/models/demo").body;
  EXPECT_THAT(before, HasSubstr(one));
  (*server)->SetModel("demo", std::make_shared<FakeEngine>(std::vector<std::string>{"y"}));
  EXPECT_NE(client.Get("/v1/models").body, before);
}

TEST_F(CompletionServerTest, CompletionsThatEndedAreNotCancelled) {
  Start();
  Serve({" upon", " a", " time"});
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(Post("/v1/completions", kAskStory).status, 200);
    HttpClient streams(server_->endpoint());
    streams.SendPost("/v1/completions", R"({"prompt":"Once","stream":true})");
    streams.ReadUntil("[DONE]");
  }
  EXPECT_THAT(HttpClient(server_->endpoint()).Get("/metrics").body,
              HasSubstr("quantfleet_agent_generations_cancelled_total 0\n"));
}

TEST_F(CompletionServerTest, BodyThatIsTooLargeIs400) {
  CompletionServer::Options options;
  options.most_body_bytes = 1000;
  Start(options);
  Serve({"x"});
  const auto answer = Post("/v1/completions", "{\"prompt\":\"" + std::string(5000, 'x') + "\"}");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(ErrorCode(answer), "too_large");
  EXPECT_EQ(Post("/v1/completions", kAskStory).status, 200);
}

TEST_F(CompletionServerTest, FullQueueIs429) {
  CompletionServer::Options options;
  options.queue.most_waiting = 1;
  Start(options);
  const auto engine = Serve({"x"});
  engine->Hold();
  HttpClient runs(server_->endpoint()), waits(server_->endpoint());
  runs.SendPost("/v1/completions", kAskStory);
  engine->AwaitBegun(1);
  waits.SendPost("/v1/completions", kAskStory);
  AwaitWaiting(1);
  const auto answer = Post("/v1/completions", kAskStory);
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(ErrorCode(answer), "queue_full");
  EXPECT_THAT(answer.header, HasSubstr("Retry-After: 1"));
  engine->Release();
  EXPECT_EQ(runs.ReadAnswer().status, 200);
  EXPECT_EQ(waits.ReadAnswer().status, 200);
}

TEST_F(CompletionServerTest, WhereAllConnectionsAreBusyANewOneIs429) {
  CompletionServer::Options options;
  options.most_connections = 2;
  Start(options);
  const auto engine = Serve({"x"});
  engine->SetEndless();
  HttpClient one(server_->endpoint()), two(server_->endpoint());
  for (HttpClient* client : {&one, &two}) {
    client->SendPost("/v1/completions", R"({"prompt":"Once","stream":true})");
    client->ReadUntil("more ");
  }
  HttpClient three(server_->endpoint());
  EXPECT_EQ(three.Get("/health").status, 429);
  EXPECT_THAT(one.ReadUntil("more "), HasSubstr("more "))
      << "those that were here are not disturbed";
}

TEST_F(CompletionServerTest, IdleConnectionsMakeRoomForNewOnes) {
  CompletionServer::Options options;
  options.most_connections = 4;
  Start(options);
  Serve({"x"});
  std::vector<std::unique_ptr<HttpClient>> idle;
  for (int i = 0; i < 200; ++i) {
    idle.push_back(std::make_unique<HttpClient>(server_->endpoint()));
    // Some of them begin a request and never end it.
    if (i % 2 == 0)
      idle.back()->Send("POST /v1/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{");
  }
  HttpClient client(server_->endpoint());
  EXPECT_EQ(client.Post("/v1/completions", kAskStory).status, 200);
  const std::string metrics = client.Get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("quantfleet_agent_connections_closed_total{which=\"idle\"} 197"));
  EXPECT_THAT(metrics, HasSubstr("quantfleet_agent_connections 4"));
}

TEST_F(CompletionServerTest, ClientThatLeavesEndsItsGeneration) {
  CompletionServer::Options options;
  options.queue.most_running = 1;
  Start(options);
  const auto engine = Serve({"x"});
  engine->SetEndless();
  HttpClient client(server_->endpoint());
  client.SendPost("/v1/completions", kAskStory);
  engine->AwaitBegun(1);
  client.Close();
  // The next one is served: the engine is free again.
  const auto fresh = Serve({"y"});
  EXPECT_EQ(Post("/v1/completions", kAskStory).status, 200);
  EXPECT_EQ(engine->cancelled, 1);
}

TEST_F(CompletionServerTest, ClientThatLeavesAStreamEndsItsGeneration) {
  CompletionServer::Options options;
  options.queue.most_running = 1;
  Start(options);
  const auto engine = Serve({"x"});
  engine->SetEndless();
  HttpClient client(server_->endpoint());
  client.SendPost("/v1/completions", R"({"prompt":"Once","stream":true})");
  client.ReadUntil("more ");
  client.Close();
  const auto fresh = Serve({"y"});
  EXPECT_EQ(Post("/v1/completions", kAskStory).status, 200);
  EXPECT_EQ(engine->cancelled, 1);
}

TEST_F(CompletionServerTest, NewVersionTakesOverWhileAnAnswerIsUnderWay) {
  Start();
  const auto old = Serve({"old"});
  old->Hold();
  HttpClient client(server_->endpoint());
  client.SendPost("/v1/completions", kAskStory);
  old->AwaitBegun(1);
  Serve({"new"});
  old->Release();
  EXPECT_THAT(client.ReadAnswer().body, HasSubstr("\"old\""));
  EXPECT_THAT(client.Post("/v1/completions", kAskStory).body, HasSubstr("\"new\""));
}

TEST_F(CompletionServerTest, StopsInTheMiddleOfAnAnswerThatTakesTooLong) {
  CompletionServer::Options options;
  options.most_drain = std::chrono::milliseconds(0);
  Start(options);
  const auto engine = Serve({"x"});
  engine->SetEndless();
  HttpClient client(server_->endpoint());
  client.SendPost("/v1/completions", R"({"prompt":"Once","stream":true})");
  client.ReadUntil("more ");
  {
    const std::jthread end([this] { server_.reset(); });
    EXPECT_THAT(client.ReadUntil("[DONE]"), HasSubstr("stopping"));
  }
  EXPECT_EQ(engine->cancelled, 1);
}

TEST_F(CompletionServerTest, FinishesWhatIsUnderWayBeforeItEnds) {
  CompletionServer::Options options;
  options.most_drain = std::chrono::minutes(5);
  Start(options);
  const auto engine = Serve({" upon", " a", " time"});
  engine->Hold();
  HttpClient runs(server_->endpoint()), waits(server_->endpoint()), idle(server_->endpoint());
  runs.SendPost("/v1/completions", kAskStory);
  engine->AwaitBegun(1);
  waits.SendPost("/v1/completions", kAskStory);
  AwaitWaiting(1);
  std::jthread end([this] { server_.reset(); });
  EXPECT_EQ(idle.ReadAll(), "") << "closed at once";
  engine->Release();
  for (HttpClient* client : {&runs, &waits}) {
    const auto answer = client->ReadAnswer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_THAT(answer.body, HasSubstr(" upon a time"));
    EXPECT_THAT(answer.header, HasSubstr("Connection: close"));
  }
}

TEST_F(CompletionServerTest, RequestsShareTheEngine) {
  Start();
  const auto engine = Serve({"x"});
  engine->SetEndless();
  HttpClient one(server_->endpoint()), two(server_->endpoint());
  one.SendPost("/v1/completions", R"({"prompt":"Once","stream":true})");
  one.ReadUntil("more ");
  two.SendPost("/v1/completions", R"({"prompt":"Twice","stream":true})");
  two.ReadUntil("more ");
  EXPECT_EQ(engine->most_together, 2u);
  EXPECT_THAT(one.ReadUntil("more "), HasSubstr("more "));
  const std::string metrics = HttpClient(server_->endpoint()).Get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("quantfleet_agent_generations_running 2"));
}

TEST_F(CompletionServerTest, TokensOfAllThatRunFitOneContext) {
  Start();
  const auto engine = Serve({"x"});
  engine->SetEndless();
  engine->SetPlaces(40);  // of a context of 64
  HttpClient one(server_->endpoint()), two(server_->endpoint());
  one.SendPost("/v1/completions", R"({"prompt":"Once","stream":true})");
  one.ReadUntil("more ");
  two.SendPost("/v1/completions", R"({"prompt":"Twice","stream":true})");
  engine->AwaitBegun(2);
  one.ReadUntil("more ");
  EXPECT_EQ(engine->most_together, 1u);
  one.Close();
  EXPECT_THAT(two.ReadUntil("more "), HasSubstr("more "));
  EXPECT_EQ(engine->most_together, 1u);
}

TEST_F(CompletionServerTest, TellsProbabilities) {
  Start();
  Serve({"Hel", "lo"}, kTemplate);
  const auto text =
      boost::json::parse(Post("/v1/completions", R"({"prompt":"Once","logprobs":2})").body);
  const auto& logprobs = text.at("choices").at(0).at("logprobs");
  EXPECT_EQ(logprobs.at("tokens").at(1), "lo");
  EXPECT_EQ(logprobs.at("token_logprobs").at(0), -0.5);
  EXPECT_EQ(logprobs.at("top_logprobs").at(0).at("other"), -1.5);
  HttpClient client(server_->endpoint());
  client.SendPost(
      "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":"Hi"}],"logprobs":true,"top_logprobs":2,"stream":true})");
  const std::string stream = client.ReadUntil("0\r\n\r\n");
  EXPECT_THAT(
      stream,
      HasSubstr(R"("logprobs":{"content":[{"token":"Hel","logprob":-5E-1,"bytes":[72,101,108])"));
  EXPECT_THAT(stream, HasSubstr(R"("top_logprobs":[{"token":"Hel")"));
}

TEST_F(CompletionServerTest, TellsOneModel) {
  Start();
  Serve({"x"});
  HttpClient client(server_->endpoint());
  EXPECT_EQ(boost::json::parse(client.Get("/v1/models/demo").body).at("id"), "demo");
  EXPECT_EQ(ErrorCode(client.Get("/v1/models/other")), "model_not_found");
}

TEST_F(CompletionServerTest, ClientThatDoesNotReadIsGivenUp) {
  CompletionServer::Options options;
  options.write_timeout = std::chrono::milliseconds(50);
  Start(options);
  const auto engine = Serve(std::vector<std::string>(32, std::string(1 << 20, 'x')));
  engine->SetEndless();
  HttpClient deaf(server_->endpoint());
  deaf.SendPost("/v1/completions", R"({"prompt":"Once","stream":true})");
  engine->AwaitBegun(1);
  HttpClient client(server_->endpoint());
  EXPECT_TRUE(testing::Eventually([&] {
    return client.Get("/metrics").body.find(kMetricCancelled + std::string(" 1\n")) !=
           std::string::npos;
  }));
  EXPECT_THAT(client.Get("/metrics").body, HasSubstr("quantfleet_agent_connections 1"));
}

TEST_F(CompletionServerTest, ListensOnAUnixSocket) {
  const testing::TempDir dir;
  CompletionServer::Options options;
  options.listen = "unix:" + (dir / "models.sock").string();
  Start(options);
  Serve({"x"});
  EXPECT_EQ(server_->endpoint(), options.listen);
  EXPECT_EQ(fs::status(dir / "models.sock").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(Post("/v1/completions", kAskStory).status, 200);
  EXPECT_EQ(HttpClient(server_->endpoint()).Get("/health", "any.name").status, 200);
  EXPECT_EQ(CompletionServer::Start(options, clock_, random_).status().code(),
            absl::StatusCode::kUnavailable);
  server_.reset();
  EXPECT_FALSE(fs::exists(dir / "models.sock"));
  testing::WriteFile(dir / "models.sock", "a file");
  EXPECT_EQ(CompletionServer::Start(options, clock_, random_).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(CompletionServerTest, ListensOnLoopbackOnly) {
  for (const char* bad : {"0.0.0.0:0", "192.0.2.1:80", "example.com:80", "127.0.0.1", "127.0.0.1:x",
                          "127.0.0.1:70000"}) {
    CompletionServer::Options options;
    options.listen = bad;
    EXPECT_EQ(CompletionServer::Start(options, clock_, random_).status().code(),
              absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

}  // namespace
}  // namespace quantfleet::agent
