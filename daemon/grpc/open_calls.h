// What may be asked without a certificate, and the refusal of everything else: by the name of the
// call alone, before its message is read.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "common/base/status.h"

namespace grpc {
class AuthMetadataProcessor;
}

namespace quantfleet::daemon {

// `path`: "/package.Service/Method". UNAUTHENTICATED: the call needs a certificate.
absl::Status MayBeAskedByAnybody(std::string_view path);

// Hears of each refusal, on gRPC's threads.
using OnRefusal = std::function<void(std::string_view path, const absl::Status& why)>;

// For server credentials: asks the above where a connection has no verified certificate.
std::shared_ptr<grpc::AuthMetadataProcessor> MakeStrangersFilter(OnRefusal refused);

}  // namespace quantfleet::daemon
