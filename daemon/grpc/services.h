// The gRPC services, one factory per .cc. Each translates between messages and use cases, and
// decides nothing.
#pragma once

#include <memory>
#include <vector>

#include "daemon/app/app.h"
#include "daemon/grpc/call.h"

namespace grpc {
class Service;
}

namespace quantfleet::daemon {

using Services = std::vector<std::unique_ptr<grpc::Service>>;

// Models, jobs, artifacts.
void AddModelServices(app::App& app, Dispatcher& dispatcher, Services& services);
// The fleet.
void AddOperatorServices(app::App& app, Dispatcher& dispatcher, Services& services);
void AddRolloutService(app::App& app, Dispatcher& dispatcher, Services& services);
void AddDeviceService(app::App& app, Dispatcher& dispatcher, Services& services);

}  // namespace quantfleet::daemon
