#include "common/http/message.h"

#include <gtest/gtest.h>

namespace quantfleet::http {
namespace {

TEST(Request, FieldsAreFoundWhateverTheirCase) {
  const Request request{.target = "/a/b?c=/d",
                        .fields = {{"Host", "one"}, {"X-Empty", ""}, {"host", "two"}}};
  EXPECT_EQ(request.Field("hOST"), "one");
  EXPECT_EQ(request.Field("X-Empty"), "");
  EXPECT_EQ(request.Field("Hos"), "");
  EXPECT_EQ(request.path(), "/a/b");
}

TEST(Request, ATargetInAbsoluteFormIsThePathAndTheHostThatItMeans) {
  const auto turned = [](std::string target) {
    Request request{.target = std::move(target), .fields = {{"host", "before"}}};
    ToOriginForm(request);
    return std::string(request.Field("Host")) + " " + request.target;
  };
  EXPECT_EQ(turned("http://127.0.0.1:80/v1/models?x=1"), "127.0.0.1:80 /v1/models?x=1");
  EXPECT_EQ(turned("HTTP://[::1]"), "[::1] /");
  EXPECT_EQ(turned("https://evil.example?q"), "evil.example /?q");
  EXPECT_EQ(turned("http://"), " /");
  EXPECT_EQ(turned("/http://x/"), "before /http://x/");
  EXPECT_EQ(turned("*"), "before *");
}

TEST(Message, GoesOverTheWireAsRfc9112Says) {
  EXPECT_EQ(RequestText("POST", "/x", {{"Host", "h"}, {"Content-Length", "2"}}, "{}"),
            "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(ResponseHead(206, 11, {{"Server", "s"}}),
            "HTTP/1.1 206 Partial Content\r\nServer: s\r\n\r\n");
  EXPECT_EQ(ResponseHead(200, 10, {}), "HTTP/1.0 200 OK\r\n\r\n");
  EXPECT_EQ(Chunk(std::string(17, 'x')), "11\r\n" + std::string(17, 'x') + "\r\n");
}

}  // namespace
}  // namespace quantfleet::http
