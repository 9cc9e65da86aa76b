// One exception from a recipe: the tensors of a role, or those whose name a regular expression
// finds, get another type. Immutable, cheap to copy, thread-safe.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "pipeline/model/description.h"

namespace re2 {
class RE2;
}

namespace quantfleet::pipeline {

// A tensor of a target, as a recipe sees it. A fused tensor has the roles of all its pieces.
struct TargetTensor {
  std::string_view name;  // as the target spells it: "blk.3.attn_qkv.weight"
  std::span<const Role> roles;
  int layer;  // -1: not of a layer
  int64_t cols;
  int dims;

  bool Has(Role role) const { return std::ranges::find(roles, role) != roles.end(); }
};

class TypeOverride {
 public:
  static constexpr size_t kMaxPatternBytes = 256;

  // `pattern` is found anywhere in a tensor's name (RE2's syntax: neither look-around nor back
  // references, and so time linear in the name).
  static absl::StatusOr<TypeOverride> OfPattern(std::string_view pattern, DType type);
  // A role whose tensors are matrices; the error lists them.
  static absl::StatusOr<TypeOverride> OfRole(std::string_view role, DType type);
  // "role:attn_v=q6_k", or "REGEX=TYPE" with the last '=' between them.
  static absl::StatusOr<TypeOverride> Parse(std::string_view text);

  bool Matches(const TargetTensor& tensor) const;
  DType type() const { return type_; }
  std::string text() const;  // Parse takes it

 private:
  std::string matcher_;  // the pattern, or "role:..."
  DType type_ = DType::kF32;
  std::optional<Role> role_;
  std::shared_ptr<const re2::RE2> pattern_;
};

}  // namespace quantfleet::pipeline
