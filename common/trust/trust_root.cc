#include "common/trust/trust_root.h"

#include <algorithm>

#include "common/trust/certificate.h"
#include "common/trust/statement.h"

namespace quantfleet::trust {

bool Succeed(v1::TrustRoot& root, const v1::Signed& statement) {
  if (!Verify(statement, kTrustRootType, root).ok()) return false;
  v1::TrustRoot said;
  if (!said.ParseFromString(statement.payload())) return false;
  if (said.version() <= root.version() || said.keys().empty() ||
      !CheckAuthorities(said.ca_pem()).ok())
    return false;
  root = std::move(said);
  return true;
}

bool Succeed(v1::TrustRoot& root,
             const google::protobuf::RepeatedPtrField<v1::Signed>& statements) {
  bool succeeded = false;
  for (int i = 0; i < std::min(statements.size(), kMaxTrustRoots); ++i)
    succeeded |= Succeed(root, statements[i]);
  return succeeded;
}

}  // namespace quantfleet::trust
