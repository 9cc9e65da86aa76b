#include "agent/external/ask_http.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <thread>

#include "agent/serve/completion_server.h"
#include "agent/serve/listen_address.h"
#include "tests/agent/serve/fake_engine.h"
#include "tests/support/held_port.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;

constexpr Duration kLongAsk = std::chrono::seconds(60);

TEST(AskHttp, GetsAndPostsOverTcpAndUnix) {
  const testing::TempDir dir;
  const RealClock clock;
  SeededRandom random(1);
  for (const std::string& listen :
       {std::string("127.0.0.1:0"), "unix:" + (dir.path() / "ask.sock").string()}) {
    CompletionServer::Options options;
    options.listen = listen;
    const auto server = CompletionServer::Start(options, clock, random);
    ASSERT_OK(server);
    const std::string address = (*server)->endpoint();
    auto answer = AskHttp(address, "/health", "", kLongAsk, {});
    ASSERT_OK(answer);
    EXPECT_EQ(answer->status, 503);
    (*server)->SetModel("demo", std::make_shared<FakeEngine>(std::vector<std::string>{"upon"}));
    answer = AskHttp(address, "/health", "", kLongAsk, {});
    ASSERT_OK(answer);
    EXPECT_EQ(answer->status, 200);
    answer = AskHttp(address, "/v1/completions", R"({"prompt":"Once"})", kLongAsk, {});
    ASSERT_OK(answer);
    EXPECT_EQ(answer->status, 200);
    EXPECT_THAT(answer->body, HasSubstr("upon"));
  }
}

TEST(AskHttp, TellsWhyThereIsNoAnswer) {
  EXPECT_ERROR(AskHttp("nowhere", "/", "", kLongAsk, {}), kInvalidArgument, "nowhere");
  const auto silent = http::OpenListenSocket({"127.0.0.1", 0, {}});  // connects, and says nothing
  ASSERT_OK(silent);
  EXPECT_ERROR(AskHttp(silent->endpoint, "/", "", Duration(1), {}), kDeadlineExceeded,
               "within 1 ms");
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_ERROR(AskHttp(silent->endpoint, "/", "", kLongAsk, stop.get_token()), kCancelled, "");
  ::close(silent->fd);
  const testing::HeldPort nobody;
  EXPECT_ERROR(AskHttp(nobody.endpoint(), "/", "", kLongAsk, {}), kUnavailable, nobody.endpoint());
}

}  // namespace
}  // namespace quantfleet::agent
