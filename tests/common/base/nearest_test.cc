#include "common/base/nearest.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace quantfleet {
namespace {

TEST(NearestName, IsTheOneWithTheFewestChanges) {
  constexpr std::array<std::string_view, 4> kKnown = {"LlamaForCausalLM", "Phi3ForCausalLM",
                                                      "Qwen2ForCausalLM", "Qwen3ForCausalLM"};
  EXPECT_EQ(NearestName("Phi3VForCausalLM", kKnown), "Phi3ForCausalLM");
  EXPECT_EQ(NearestName("llamaforcausallm", kKnown), "LlamaForCausalLM");
  EXPECT_EQ(NearestName("Qwen9ForCausalLM", kKnown), "Qwen2ForCausalLM");
  EXPECT_EQ(NearestName("", kKnown), "Phi3ForCausalLM");
  EXPECT_EQ(NearestName("x", {}), "");
  EXPECT_NE(NearestName(std::string(100'000, 'x'), kKnown), "");
}

}  // namespace
}  // namespace quantfleet
