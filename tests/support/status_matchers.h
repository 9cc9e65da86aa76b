// GoogleTest checks of absl::Status: EXPECT_OK, ASSERT_OK, and EXPECT_ERROR(code, what the message
// names...). Messages are there to be reworded: a test asks for the code and for what tells one
// error from another of that code (a file, a key, a number, an option, the command that mends it),
// not for sentences.
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

template <typename... Parts>
::testing::AssertionResult IsError(const absl::Status& status, absl::StatusCode code,
                                   const Parts&... names) {
  const std::string message = Message(status);
  if (status.code() == code && ((message.find(names) != std::string::npos) && ...))
    return ::testing::AssertionSuccess();
  auto failure = ::testing::AssertionFailure()
                 << "got " << Describe(status) << "\nwanted " << absl::StatusCodeToString(code);
  ((failure << " with \"" << names << '"'), ...);
  return failure;
}

// Of a text that people read: that it names all of these, whatever it says about them.
template <typename... Parts>
auto Names(const Parts&... parts) {
  return ::testing::AllOf(::testing::HasSubstr(std::string(parts))...);
}

}  // namespace quantfleet::testing

#define EXPECT_OK(expression) \
  EXPECT_TRUE(::quantfleet::testing::IsOk(::quantfleet::testing::StatusOf(expression)))
#define ASSERT_OK(expression) \
  ASSERT_TRUE(::quantfleet::testing::IsOk(::quantfleet::testing::StatusOf(expression)))
#define EXPECT_ERROR(expression, code, ...)                                               \
  EXPECT_TRUE(::quantfleet::testing::IsError(::quantfleet::testing::StatusOf(expression), \
                                             absl::StatusCode::code, __VA_ARGS__))
