// How a device gets from the trust root that it holds to a newer one: only by statements, each
// signed by a key of the root before it. Pure.
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include "common/base/status.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::trust {

inline constexpr int kMaxTrustRoots = 16;  // in one answer: who is further behind asks again

// Makes `root` what the statement says, if a key of `root` that may sign trust roots has signed it,
// its version is greater, and it names keys and CAs. Anything else changes nothing. Returns whether
// `root` changed.
bool Succeed(v1::TrustRoot& root, const v1::Signed& statement);
// One after the other, at most kMaxTrustRoots.
bool Succeed(v1::TrustRoot& root, const google::protobuf::RepeatedPtrField<v1::Signed>& statements);

}  // namespace quantfleet::trust
