// GoogleTest checks of verdicts: EXPECT_CAME_OFF, and EXPECT_SETBACK(reason, parts of
// the detail).
#pragma once

#include <gtest/gtest.h>

#include "agent/update/verdict.h"

namespace quantfleet::testing {

using agent::NameOf;
using agent::Reason;
using agent::Tried;
using agent::Verdict;

inline const Verdict& VerdictOf(const Verdict& verdict) { return verdict; }
template <typename T>
const Verdict& VerdictOf(const Tried<T>& tried) {
  return tried.verdict();
}

inline ::testing::AssertionResult CameOff(const Verdict& verdict) {
  if (verdict.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << NameOf(verdict.reason()) << ": " << verdict.detail();
}

template <typename... Parts>
::testing::AssertionResult IsSetback(const Verdict& verdict, Reason reason, const Parts&... names) {
  const std::string& detail = verdict.detail();
  if (verdict.Is(reason) && ((detail.find(names) != std::string::npos) && ...))
    return ::testing::AssertionSuccess();
  auto failure = ::testing::AssertionFailure()
                 << "got " << (verdict.ok() ? -1 : static_cast<int>(verdict.reason())) << ": "
                 << detail << "\nwanted " << static_cast<int>(reason) << " (" << NameOf(reason)
                 << ')';
  ((failure << " with \"" << names << '"'), ...);
  return failure;
}

}  // namespace quantfleet::testing

#define EXPECT_CAME_OFF(expression) \
  EXPECT_TRUE(::quantfleet::testing::CameOff(::quantfleet::testing::VerdictOf(expression)))
#define ASSERT_CAME_OFF(expression) \
  ASSERT_TRUE(::quantfleet::testing::CameOff(::quantfleet::testing::VerdictOf(expression)))
#define EXPECT_SETBACK(expression, reason, ...)                                              \
  EXPECT_TRUE(::quantfleet::testing::IsSetback(::quantfleet::testing::VerdictOf(expression), \
                                               ::quantfleet::agent::Reason::reason, __VA_ARGS__))
