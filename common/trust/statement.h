// Signed statements (proto/quantfleet/v1/trust.proto): sign with a key, verify against a trust
// root. Pure.
#pragma once

#include <string_view>

#include "common/base/status.h"
#include "common/trust/keys.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::trust {

inline constexpr std::string_view kAssignmentType = "quantfleet.v1.Assignment";
inline constexpr std::string_view kArtifactStatementType = "quantfleet.v1.ArtifactStatement";
inline constexpr std::string_view kEvaluationStatementType = "quantfleet.v1.EvaluationStatement";

inline constexpr std::string_view kTrustRootType = "quantfleet.v1.TrustRoot";

v1::Signed Sign(const SigningKey& key, std::string_view payload_type, std::string_view payload);

// Adds the key's signature unless the statement has it already. Returns whether it added one.
bool AddSignature(const SigningKey& key, v1::Signed& statement);

// PERMISSION_DENIED unless a key of the root that may sign `payload_type` made a valid signature
// and the statement is of that type. The payload is parsed by the caller only afterwards.
absl::Status Verify(const v1::Signed& statement, std::string_view payload_type,
                    const v1::TrustRoot& root);

}  // namespace quantfleet::trust
