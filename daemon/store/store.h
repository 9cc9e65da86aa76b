// The daemon's state: one database, every change a transaction, durable when Write returns OK.
//
//   QF_ASSIGN_OR_RETURN(const v1::Job job, store.Read([&](const Transaction& tx) {
//     return tx.jobs().Get(name);
//   }));
//
// A transaction is all of its body's writes or none: an error of the body discards them, and so
// does an error of one of its writes, or of the database, that the body ignores. Bodies do not
// nest: a function that works inside a transaction takes it as a parameter. A body may run more
// than once before it is committed (where several daemons share a database, one of two has to try
// again), so it changes nothing outside except what it sets anew each time, notifies nobody and
// waits for nobody. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "common/base/status.h"
#include "daemon/store/change.h"
#include "daemon/store/feed.h"
#include "daemon/store/transaction.h"

namespace quantfleet::daemon {

// Destroyed without Commit: as if it had never been.
class OpenTransaction : public Transaction {
 public:
  // It must not be used afterwards. ABORTED: something in it failed, and nothing is stored.
  virtual absl::Status Commit() = 0;

 protected:
  using Transaction::Transaction;
};

class Store {
 public:
  // Whoever adds to what is written, in the same transaction: the audit log. Both are called on the
  // thread that writes.
  class Witness {
   public:
    virtual ~Witness() = default;
    // The body is done; an error discards the transaction. It may be called again, as the body.
    virtual absl::Status BeforeCommit(Transaction& tx) = 0;
    virtual void Committed() = 0;
  };

  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  virtual ~Store() = default;

  // `body` gets a const Transaction& (Read) or a Transaction& (Write) and returns an absl::Status
  // or an absl::StatusOr, which is what comes back. INTERNAL: called inside another body.
  template <typename Body>
  auto Read(Body&& body) {
    return Run<std::invoke_result_t<Body&, const Transaction&>>(
        body, [this](const ReadBody& b) { return RunRead(b); });
  }
  template <typename Body>
  auto Write(Body&& body) {
    return Run<std::invoke_result_t<Body&, Transaction&>>(
        body, [this](const WriteBody& b) { return RunWitnessed(b); });
  }
  // Before anything is written; it must outlive the store's use, or be taken away (nullptr).
  void set_witness(Witness* witness) { witness_ = witness; }

  // For transactions that begin and end in different places; others wait for it, and it waits for
  // them.
  virtual absl::StatusOr<std::unique_ptr<OpenTransaction>> Begin() = 0;
  // Called after each commit, outside of the transaction, on the thread that made it.
  Feed<Change>& changes() { return changes_; }
  // Writes what is kept in memory: DeviceStore::Touch.
  virtual absl::Status Flush() = 0;

 protected:
  using ReadBody = std::function<absl::Status(const Transaction&)>;
  using WriteBody = std::function<absl::Status(Transaction&)>;
  virtual absl::Status RunRead(const ReadBody& body) = 0;
  virtual absl::Status RunWrite(const WriteBody& body) = 0;

 private:
  absl::Status RunWitnessed(const WriteBody& body) {
    if (witness_ == nullptr) return RunWrite(body);
    QF_RETURN_IF_ERROR(RunWrite([&](Transaction& tx) -> absl::Status {
      QF_RETURN_IF_ERROR(body(tx));
      return witness_->BeforeCommit(tx);
    }));
    witness_->Committed();
    return absl::OkStatus();
  }

  template <typename Result, typename Body, typename Runner>
  static Result Run(Body& body, const Runner& run) {
    if constexpr (std::is_same_v<Result, absl::Status>) {
      return run([&](auto& tx) -> absl::Status { return body(tx); });
    } else {
      std::optional<Result> result;
      QF_RETURN_IF_ERROR(run([&](auto& tx) -> absl::Status {
        result.emplace(body(tx));
        return result->status();
      }));
      return *std::move(result);
    }
  }

  Feed<Change> changes_;
  Witness* witness_ = nullptr;
};

}  // namespace quantfleet::daemon
