// GoogleTest checks of verdicts: EXPECT_CAME_OFF, and EXPECT_SETBACK(reason, part of the
// detail).
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

inline ::testing::AssertionResult IsSetback(const Verdict& verdict, Reason reason,
                                            std::string_view part) {
  if (verdict.Is(reason) && verdict.detail().find(part) != std::string::npos)
    return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "got " << (verdict.ok() ? "ok" : NameOf(verdict.reason())) << " ("
         << (verdict.ok() ? -1 : static_cast<int>(verdict.reason())) << "): " << verdict.detail()
         << "\nwanted " << NameOf(reason) << " (" << static_cast<int>(reason) << ") with \"" << part
         << '"';
}

}  // namespace quantfleet::testing

#define EXPECT_CAME_OFF(expression) \
  EXPECT_TRUE(::quantfleet::testing::CameOff(::quantfleet::testing::VerdictOf(expression)))
#define ASSERT_CAME_OFF(expression) \
  ASSERT_TRUE(::quantfleet::testing::CameOff(::quantfleet::testing::VerdictOf(expression)))
#define EXPECT_SETBACK(expression, reason, part)                                             \
  EXPECT_TRUE(::quantfleet::testing::IsSetback(::quantfleet::testing::VerdictOf(expression), \
                                               ::quantfleet::agent::Reason::reason, part))
