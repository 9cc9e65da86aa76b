#include "agent/model_hosts.h"

#include <gmock/gmock.h>

#include "tests/support/status_matchers.h"

namespace quantfleet::agent {
namespace {

TEST(ModelHosts, AllowedRuntimesAreNamesOfAbsolutePaths) {
  const auto allowed = ParseAllowedRuntimes({"llama-server=/usr/bin/llama-server", "odd=/opt/a=b"});
  ASSERT_OK(allowed);
  EXPECT_EQ(allowed->at("llama-server"), "/usr/bin/llama-server");
  EXPECT_EQ(allowed->at("odd"), "/opt/a=b");
  for (const char* word :
       {"", "llama-server", "a=", "a=relative", "=/bin/sh", "a b=/bin/sh", "../a=/bin/sh"})
    EXPECT_ERROR(ParseAllowedRuntimes({word}), kInvalidArgument, "NAME=/PATH");
  EXPECT_ERROR(ParseAllowedRuntimes({"a=/x", "a=/y"}), kInvalidArgument, "twice");
}

}  // namespace
}  // namespace quantfleet::agent
