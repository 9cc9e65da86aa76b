// One transaction: the daemon's state, subject by subject, as of one moment. Reading is const, so
// that a const Transaction& only reads.
//
// It belongs to the thread on which it was begun. Names of resources are the API's ("jobs/...").
// Errors: NOT_FOUND and ALREADY_EXISTS name the resource, RESOURCE_EXHAUSTED means a full disk.
// Functions that are passed in ("change", "sign") see only the record.
#pragma once

#include <string>
#include <vector>

#include "daemon/store/admission_store.h"
#include "daemon/store/artifact_store.h"
#include "daemon/store/assignment_store.h"
#include "daemon/store/audit_store.h"
#include "daemon/store/change.h"
#include "daemon/store/class_store.h"
#include "daemon/store/counts.h"
#include "daemon/store/device_store.h"
#include "daemon/store/group_store.h"
#include "daemon/store/job_store.h"
#include "daemon/store/model_store.h"
#include "daemon/store/operator_store.h"
#include "daemon/store/request_store.h"
#include "daemon/store/rollout_store.h"
#include "daemon/store/scrub_store.h"
#include "daemon/store/signature_store.h"
#include "daemon/store/token_store.h"

namespace quantfleet::daemon {

// A record that cannot be read.
struct Damaged {
  std::string kind;  // "job"
  std::string name;
  auto operator<=>(const Damaged&) const = default;
};

class Transaction {
 public:
  struct Subjects {
    AdmissionStore& admission;
    ArtifactStore& artifacts;
    AssignmentStore& assignments;
    AuditStore& audit;
    ClassStore& classes;
    CountStore& counts;
    DeviceStore& devices;
    GroupStore& groups;
    JobStore& jobs;
    ModelStore& models;
    OperatorStore& operators;
    RequestStore& requests;
    RolloutStore& rollouts;
    ScrubStore& scrubs;
    SignatureStore& signatures;
    TokenStore& tokens;
  };

  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  virtual ~Transaction() = default;

  // What lists of this transaction left out, since it cannot be read.
  virtual const std::vector<Damaged>& damaged() const = 0;
  // What it has changed so far, in order.
  virtual const std::vector<Change>& noted() const = 0;

  AdmissionStore& admission() { return subjects_.admission; }
  ArtifactStore& artifacts() { return subjects_.artifacts; }
  AssignmentStore& assignments() { return subjects_.assignments; }
  AuditStore& audit() { return subjects_.audit; }
  ClassStore& classes() { return subjects_.classes; }
  DeviceStore& devices() { return subjects_.devices; }
  GroupStore& groups() { return subjects_.groups; }
  JobStore& jobs() { return subjects_.jobs; }
  ModelStore& models() { return subjects_.models; }
  OperatorStore& operators() { return subjects_.operators; }
  RequestStore& requests() { return subjects_.requests; }
  RolloutStore& rollouts() { return subjects_.rollouts; }
  ScrubStore& scrubs() { return subjects_.scrubs; }
  SignatureStore& signatures() { return subjects_.signatures; }
  TokenStore& tokens() { return subjects_.tokens; }

  const AdmissionStore& admission() const { return subjects_.admission; }
  const ArtifactStore& artifacts() const { return subjects_.artifacts; }
  const AssignmentStore& assignments() const { return subjects_.assignments; }
  const AuditStore& audit() const { return subjects_.audit; }
  const ClassStore& classes() const { return subjects_.classes; }
  const CountStore& counts() const { return subjects_.counts; }
  const DeviceStore& devices() const { return subjects_.devices; }
  const GroupStore& groups() const { return subjects_.groups; }
  const JobStore& jobs() const { return subjects_.jobs; }
  const ModelStore& models() const { return subjects_.models; }
  const OperatorStore& operators() const { return subjects_.operators; }
  const RequestStore& requests() const { return subjects_.requests; }
  const RolloutStore& rollouts() const { return subjects_.rollouts; }
  const ScrubStore& scrubs() const { return subjects_.scrubs; }
  const TokenStore& tokens() const { return subjects_.tokens; }

 protected:
  explicit Transaction(Subjects subjects) : subjects_(subjects) {}

 private:
  const Subjects subjects_;
};

}  // namespace quantfleet::daemon
