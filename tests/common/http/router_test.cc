#include "common/http/router.h"

#include <gtest/gtest.h>

#include "tests/common/http/fake_exchange.h"

namespace quantfleet::http {
namespace {

Handler Says(std::string body) {
  return Page([body](const Request&) { return Response{.body = body}; });
}

class RouterTest : public ::testing::Test {
 protected:
  Response Ask(const Router& router, std::string method, std::string target) {
    const auto exchange =
        std::make_shared<FakeExchange>(Request{.method = std::move(method), .target = target});
    router.Answer(exchange);
    return exchange->reply.value_or(Response{.status = 0});
  }
  static Response Missing(Router::Missing what) {
    return {.status = what == Router::Missing::kPath ? 404 : 405};
  }
  std::vector<Route> routes_ = {{"GET", "/page", Says("page")},
                                {"POST", "/page", Says("posted")},
                                {"GET", "/tree/", Says("below")}};
};

TEST_F(RouterTest, FindsByPathAndMethod) {
  const Router router(routes_, {.missing = Missing});
  EXPECT_EQ(Ask(router, "GET", "/page").body, "page");
  EXPECT_EQ(Ask(router, "GET", "/page?with=a&query").body, "page");
  EXPECT_EQ(Ask(router, "POST", "/page").body, "posted");
  EXPECT_EQ(Ask(router, "GET", "/tree/").body, "below");
  EXPECT_EQ(Ask(router, "GET", "/tree/any/leaf").body, "below");
  for (const char* path : {"/", "/pag", "/page/", "/tree", ""})
    EXPECT_EQ(Ask(router, "GET", path).status, 404) << path;
  EXPECT_EQ(Ask(router, "PUT", "/page").status, 405);
  EXPECT_EQ(Ask(router, "POST", "/tree/x").status, 405);
}

TEST_F(RouterTest, HeadIsAsGet) {
  const Router router(routes_, {.missing = Missing});
  EXPECT_EQ(Ask(router, "HEAD", "/page").status, 200);
  EXPECT_EQ(Ask(router, "HEAD", "/none").status, 404);
}

TEST_F(RouterTest, OptionsAndWrongMethodsNameTheMethods) {
  const Router router(routes_, {.missing = Missing});
  const auto allowed = [&](std::string method, std::string target) {
    const Response response = Ask(router, std::move(method), std::move(target));
    return response.fields.empty()
               ? ""
               : response.fields.back().first + ": " + response.fields.back().second;
  };
  EXPECT_EQ(Ask(router, "OPTIONS", "/page").status, 204);
  EXPECT_EQ(allowed("OPTIONS", "/page"), "Allow: GET, HEAD, OPTIONS, POST");
  EXPECT_EQ(allowed("OPTIONS", "/tree/x"), "Allow: GET, HEAD, OPTIONS");
  EXPECT_EQ(allowed("PUT", "/page"), "Allow: GET, HEAD, OPTIONS, POST");
  EXPECT_EQ(Ask(router, "OPTIONS", "*").status, 204);
  EXPECT_EQ(Ask(router, "OPTIONS", "/none").status, 404);
}

TEST_F(RouterTest, WhoIsAskedBeforeMayAnswer) {
  const auto before = [](const ExchangePtr& exchange) {
    if (exchange->request().path() != "/page") return false;
    exchange->Reply({.status = 403});
    return true;
  };
  const Router router(routes_, {.before = before, .missing = Missing});
  EXPECT_EQ(Ask(router, "GET", "/page").status, 403);
  EXPECT_EQ(Ask(router, "GET", "/tree/x").status, 200);
}

}  // namespace
}  // namespace quantfleet::http
