// A certificate's holder as the URI in subjectAltName: quantfleet://device/ID,
// quantfleet://server/NAME, quantfleet://operator/NAME?role=ROLE. One text per subject; reading is
// strict. Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/trust/certificate.h"

namespace quantfleet::trust {

inline constexpr std::string_view kSubjectScheme = "quantfleet://";

// INVALID_ARGUMENT when the id is not a plain name (name.h) or the role is not one of role.h.
absl::StatusOr<std::string> SubjectUri(const Subject& subject);
absl::StatusOr<Subject> ParseSubjectUri(std::string_view uri);

}  // namespace quantfleet::trust
