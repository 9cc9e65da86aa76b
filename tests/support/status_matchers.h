// GoogleTest checks of absl::Status: EXPECT_OK, ASSERT_OK, and EXPECT_ERROR(code, part of the
// message).
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/status.h"

namespace quantfleet::testing {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

inline ::testing::AssertionResult IsOk(const absl::Status& status) {
  if (status.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << Describe(status);
}

inline ::testing::AssertionResult IsError(const absl::Status& status, absl::StatusCode code,
                                          std::string_view part) {
  if (status.code() == code && Message(status).find(part) != std::string::npos)
    return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "got " << Describe(status) << "\nwanted " << absl::StatusCodeToString(code)
         << " with \"" << part << '"';
}

}  // namespace quantfleet::testing

#define EXPECT_OK(expression) \
  EXPECT_TRUE(::quantfleet::testing::IsOk(::quantfleet::testing::StatusOf(expression)))
#define ASSERT_OK(expression) \
  ASSERT_TRUE(::quantfleet::testing::IsOk(::quantfleet::testing::StatusOf(expression)))
#define EXPECT_ERROR(expression, code, part)                                              \
  EXPECT_TRUE(::quantfleet::testing::IsError(::quantfleet::testing::StatusOf(expression), \
                                             absl::StatusCode::code, part))
