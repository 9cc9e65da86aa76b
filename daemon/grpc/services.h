// The gRPC services, one factory per .cc. Each translates between messages and the backend and
// decides nothing.
#pragma once

#include <memory>
#include <vector>

#include "daemon/grpc/backend.h"
#include "daemon/grpc/call.h"

namespace grpc {
class Service;
}

namespace quantfleet::daemon {

using Services = std::vector<std::unique_ptr<grpc::Service>>;

void AddModelServices(Backend& backend, Dispatcher& dispatcher,
                      Services& services);  // models, jobs, artifacts
void AddOperatorServices(Backend& backend, Dispatcher& dispatcher,
                         Services& services);  // the fleet
void AddRolloutService(Backend& backend, Dispatcher& dispatcher, Services& services);
void AddDeviceService(Backend& backend, Dispatcher& dispatcher, Services& services);

}  // namespace quantfleet::daemon
