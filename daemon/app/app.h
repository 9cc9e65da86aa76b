// All use cases: rights, pages, joins and transactions, whatever protocol a call comes in by. A
// translator (daemon/grpc, daemon/web) turns its protocol into a Caller and a request, runs one of
// these as a call (calls.h) and turns the result into an answer; it decides nothing. Thread-safe.
#pragma once

#include <utility>

#include "daemon/app/artifacts.h"
#include "daemon/app/audit.h"
#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "daemon/app/calls.h"
#include "daemon/app/classes.h"
#include "daemon/app/device_calls.h"
#include "daemon/app/devices.h"
#include "daemon/app/groups.h"
#include "daemon/app/jobs.h"
#include "daemon/app/models.h"
#include "daemon/app/operators.h"
#include "daemon/app/rollouts.h"
#include "daemon/app/status.h"
#include "daemon/app/tokens.h"

namespace quantfleet::daemon::app {

class App {
 private:
  Backend backend_;
  Callers callers_;

 public:
  explicit App(Backend backend, Calls::Options options = {})
      : backend_(std::move(backend)),
        callers_(backend_.fleet, backend_.operators),
        calls(backend_.store, callers_, backend_.authority, backend_.clock, std::move(options)) {}
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // Known once the HTTPS side listens; before the first call.
  void set_fleet_endpoint(std::string endpoint) { backend_.fleet_endpoint = std::move(endpoint); }
  void set_blob_endpoint(std::string endpoint) { backend_.blob_endpoint = std::move(endpoint); }

  Calls calls;
  Models models{backend_, callers_};
  Jobs jobs{backend_, callers_};
  Artifacts artifacts{backend_, callers_};
  Classes classes{backend_, callers_};
  Tokens tokens{backend_, callers_};
  Devices devices{backend_, callers_};
  Groups groups{backend_, callers_};
  RolloutCalls rollouts{backend_, callers_};
  OperatorCalls operators{backend_, callers_};
  Audit audit{backend_, callers_};
  DaemonStatus status{backend_, callers_};
  DeviceCalls device_calls{backend_, callers_};
};

}  // namespace quantfleet::daemon::app
