// One call of the store as a transaction of its own, for tests that look at what there is, or set
// it up, between the steps of what they test:
//   EXPECT_EQ(Once(*store_)->devices().Get("d1")->id(), "d1");
// The transaction ends with the full expression, so one of them may stand in it once.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "daemon/store/store.h"

namespace quantfleet::daemon {

class Once {
 public:
  explicit Once(Store& store) {
    auto open = store.Begin();
    EXPECT_TRUE(open.ok()) << Describe(open.status());
    if (open.ok()) open_ = *std::move(open);
  }
  Once(const Once&) = delete;
  Once& operator=(const Once&) = delete;
  ~Once() {
    if (open_ == nullptr) return;
    // ABORTED: the call failed, which is what the test looks at.
    const absl::Status done = open_->Commit();
    EXPECT_TRUE(done.ok() || done.code() == absl::StatusCode::kAborted) << Describe(done);
  }
  Transaction* operator->() const { return open_.get(); }

 private:
  std::unique_ptr<OpenTransaction> open_;
};

}  // namespace quantfleet::daemon
