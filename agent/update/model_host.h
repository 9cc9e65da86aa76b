// What runs the models of a device, as an interface: the updater proves an artifact healthy without
// knowing engines.
#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "agent/update/health_gate.h"
#include "common/base/file.h"
#include "quantfleet/v1/manifest.pb.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::agent {

// An artifact on this disk, and what is to run it.
struct Installed {
  fs::path files;  // the folder
  v1::Manifest manifest;
  std::optional<v1::Runtime> runtime;  // nullopt: the agent's own engine
  uint64_t context = 0;                // tokens; 0: what runs it decides
  std::string kv_type = {};            // empty: the default of what runs it
};

// Thread-safe.
class ModelHost {
 public:
  virtual ~ModelHost() = default;
  // kRuntimeRefused, with the remedy, where this device does not allow the runtime.
  virtual Verdict MayRun(const std::optional<v1::Runtime>& runtime) const = 0;
  // Loads the artifact, lets it say a few words, holds what it sees against `gate`, and answers for
  // `model` with it from then on. Until then, and on any setback, what answered before goes on. The
  // gate's verdicts are passed on as they are. kInterrupted: `stop` came first.
  virtual Tried<Health> Start(const std::string& model, const Installed& installed,
                              const HealthGate& gate, std::stop_token stop) = 0;
  virtual void Stop(const std::string& model) = 0;
  // What a next version of `model` may use: what the machine has available plus what the present
  // version frees. 0: unknown.
  virtual uint64_t MemoryFor(const std::string& model) const = 0;
  // Whether what answers for `model` still does, and leaves the memory that the gate wants;
  // kHealthFailed or the gate's verdict. kInterrupted: `stop` came first.
  virtual Verdict StillHealthy(const std::string& model, const HealthGate& gate,
                               std::stop_token stop) const = 0;
  // Why what answers for `model` was given up: an activation that counted, and does not any more.
  // Ok otherwise.
  virtual Verdict Condition(const std::string& model) const = 0;
  // Where `model` answers: "127.0.0.1:port"; empty: it does not answer requests.
  virtual std::string endpoint(const std::string& model) const = 0;
};

}  // namespace quantfleet::agent
