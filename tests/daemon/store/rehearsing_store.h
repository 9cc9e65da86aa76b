// A store whose bodies all run twice: once for nothing, and once for good, as where another daemon
// won the race for a row. What a body does beside its transaction it would do twice.
#pragma once

#include <exception>
#include <memory>
#include <utility>

#include "daemon/store/store.h"

namespace quantfleet::daemon {

class RehearsingStore final : public Store {
 public:
  explicit RehearsingStore(std::unique_ptr<Store> real)
      : real_(std::move(real)), telling_(real_->changes().Subscribe([this](const Change& change) {
          changes().Publish(change);
        })) {}

  absl::StatusOr<std::unique_ptr<OpenTransaction>> Begin() override { return real_->Begin(); }
  absl::Status Flush() override { return real_->Flush(); }

 protected:
  absl::Status RunRead(const ReadBody& body) override {
    real_->Read([&](const Transaction& tx) { return body(tx); }).IgnoreError();
    return real_->Read([&](const Transaction& tx) { return body(tx); });
  }
  absl::Status RunWrite(const WriteBody& body) override {
    {
      QF_ASSIGN_OR_RETURN(const auto rehearsal, real_->Begin());
      try {
        body(*rehearsal).IgnoreError();
      } catch (const std::exception&) {
        // It ends the performance too.
      }
    }
    return real_->Write([&](Transaction& tx) { return body(tx); });
  }

 private:
  const std::unique_ptr<Store> real_;
  const Subscription telling_;
};

}  // namespace quantfleet::daemon
