#include "pipeline/recipe/type_override.h"

#include <re2/re2.h>

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kPatternMemory = int64_t{1} << 20;  // of a compiled pattern and its automaton
constexpr std::string_view kRolePrefix = "role:";

constexpr Role kMatrices[] = {Role::kTokenEmbedding, Role::kOutputHead,  Role::kAttnQ,
                              Role::kAttnK,          Role::kAttnV,       Role::kAttnOutput,
                              Role::kFfnGate,        Role::kFfnUp,       Role::kFfnDown,
                              Role::kFfnGateExpert,  Role::kFfnUpExpert, Role::kFfnDownExpert};

}  // namespace

absl::StatusOr<TypeOverride> TypeOverride::OfPattern(std::string_view pattern, DType type) {
  if (pattern.empty() || pattern.size() > kMaxPatternBytes)
    return InvalidArgument("a tensor pattern must have 1 to {} bytes, not {}", kMaxPatternBytes,
                           pattern.size());
  if (std::ranges::any_of(pattern, [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return InvalidArgument("a tensor pattern must not contain control characters");
  // Or its text would read as a role's.
  if (pattern.starts_with(kRolePrefix))
    return InvalidArgument(
        "'{}' begins like a role, and tensor names contain no colon: give it as a role instead",
        pattern);
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemory);
  TypeOverride out;
  out.matcher_ = pattern;
  out.type_ = type;
  const auto compiled =
      std::make_shared<const re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!compiled->ok())
    return InvalidArgument("'{}' is not a supported regular expression: {}", pattern,
                           compiled->error());
  out.pattern_ = compiled;
  return out;
}

absl::StatusOr<TypeOverride> TypeOverride::OfRole(std::string_view role, DType type) {
  std::string known;
  for (const Role candidate : kMatrices) {
    if (Name(candidate) == role) {
      TypeOverride out;
      out.matcher_ = fmt::format("{}{}", kRolePrefix, role);
      out.type_ = type;
      out.role_ = candidate;
      return out;
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", Name(candidate));
  }
  return InvalidArgument("'{}' is not a role whose type can be chosen: use one of {}", role, known);
}

absl::StatusOr<TypeOverride> TypeOverride::Parse(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos)
    return InvalidArgument(
        "'{}' is not an override: write REGEX=TYPE or role:ROLE=TYPE, such as attn_v=q6_k", text);
  QF_ASSIGN_OR_RETURN(const DType type, DTypeFromName(text.substr(equals + 1)));
  const std::string_view matcher = text.substr(0, equals);
  if (matcher.starts_with(kRolePrefix)) return OfRole(matcher.substr(kRolePrefix.size()), type);
  return OfPattern(matcher, type);
}

bool TypeOverride::Matches(const TargetTensor& tensor) const {
  if (role_) return tensor.Has(*role_);
  return re2::RE2::PartialMatch(re2::StringPiece(tensor.name.data(), tensor.name.size()),
                                *pattern_);
}

std::string TypeOverride::text() const { return fmt::format("{}={}", matcher_, Info(type_).name); }

}  // namespace quantfleet::pipeline
