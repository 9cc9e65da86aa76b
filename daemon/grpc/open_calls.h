// What may be asked without a certificate, and the refusal of everything else: by the name of the
// call alone, before its message is read.
#pragma once

#include <memory>
#include <string_view>

#include "common/base/status.h"

namespace grpc {
class AuthMetadataProcessor;
}

namespace quantfleet::daemon {

// `path`: "/package.Service/Method". UNAUTHENTICATED: the call needs a certificate.
absl::Status MayBeAskedByAnybody(std::string_view path);

// For server credentials: asks the above where a connection has no verified certificate.
std::shared_ptr<grpc::AuthMetadataProcessor> MakeStrangersFilter();

}  // namespace quantfleet::daemon
