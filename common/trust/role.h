// The roles of operators, and their names as certificates carry them. Pure.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>

namespace quantfleet::trust {

enum class Role { kViewer, kPublisher, kAdmin };  // each may do what those before it may

struct NamedRole {
  Role role;
  std::string_view name;
};
inline constexpr NamedRole kRoles[] = {
    {Role::kViewer, "viewer"}, {Role::kPublisher, "publisher"}, {Role::kAdmin, "admin"}};

constexpr std::string_view Name(Role role) {
  return std::ranges::find(kRoles, role, &NamedRole::role)->name;
}

constexpr std::optional<Role> RoleNamed(std::string_view name) {
  const auto* const found = std::ranges::find(kRoles, name, &NamedRole::name);
  return found == std::end(kRoles) ? std::nullopt : std::optional(found->role);
}

}  // namespace quantfleet::trust
