// How a call is answered: the use case runs on a worker thread for the caller that the certificate
// names, and its value or status finishes the call. Thread-safe.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "common/base/status.h"
#include "common/message/clean.h"
#include "daemon/app/callers.h"
#include "daemon/grpc/worker_pool.h"

namespace grpc {
class ByteBuffer;
class CallbackServerContext;
class ServerUnaryReactor;
}  // namespace grpc

namespace quantfleet::daemon {

class Dispatcher {
 public:
  using Work = std::function<absl::Status(const app::Caller&)>;

  // A use case: a method of `subject` that takes the caller and the request. Slow: it may take a
  // while (reads or hashes files, looks at a whole fleet).
  template <typename Subject, typename Request, typename Answer>
  grpc::ServerUnaryReactor* Run(grpc::CallbackServerContext* context, const Request* request,
                                Answer* answer, Subject& subject,
                                absl::StatusOr<Answer> (Subject::*use_case)(const app::Caller&,
                                                                            const Request&)) {
    return RunOn(quick_, context, Bind(request, answer, subject, use_case));
  }
  template <typename Subject, typename Request, typename Answer>
  grpc::ServerUnaryReactor* RunSlow(grpc::CallbackServerContext* context, const Request* request,
                                    Answer* answer, Subject& subject,
                                    absl::StatusOr<Answer> (Subject::*use_case)(const app::Caller&,
                                                                                const Request&)) {
    return RunOn(slow_, context, Bind(request, answer, subject, use_case));
  }

  // The same for what devices send: bytes, which gRPC itself would refuse for a string that is not
  // UTF-8, and whose unknown fields it would keep.
  template <typename Subject, typename Request, typename Answer>
  grpc::ServerUnaryReactor* RunBytes(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request, grpc::ByteBuffer* answer,
                                     Subject& subject,
                                     absl::StatusOr<Answer> (Subject::*use_case)(const app::Caller&,
                                                                                 const Request&)) {
    return RunBytesOn(quick_, context, request, answer,
                      [&subject, use_case](const app::Caller& caller,
                                           std::string_view bytes) -> absl::StatusOr<std::string> {
                        QF_ASSIGN_OR_RETURN(const Request parsed, ParseClean<Request>(bytes));
                        QF_ASSIGN_OR_RETURN(const Answer answered,
                                            (subject.*use_case)(caller, parsed));
                        return SerializeClean(answered);
                      });
  }

  WorkerPool& quick() { return quick_; }
  WorkerPool& slow() { return slow_; }
  void Stop();

 private:
  template <typename Subject, typename Request, typename Answer>
  static Work Bind(const Request* request, Answer* answer, Subject& subject,
                   absl::StatusOr<Answer> (Subject::*use_case)(const app::Caller&,
                                                               const Request&)) {
    return [=, &subject](const app::Caller& caller) -> absl::Status {
      QF_ASSIGN_OR_RETURN(*answer, (subject.*use_case)(caller, *request));
      return absl::OkStatus();
    };
  }
  static grpc::ServerUnaryReactor* RunOn(WorkerPool& pool, grpc::CallbackServerContext* context,
                                         Work work);
  using BytesWork =
      std::function<absl::StatusOr<std::string>(const app::Caller&, std::string_view bytes)>;
  static grpc::ServerUnaryReactor* RunBytesOn(WorkerPool& pool,
                                              grpc::CallbackServerContext* context,
                                              const grpc::ByteBuffer* request,
                                              grpc::ByteBuffer* answer, BytesWork work);

  // One per core: most of the work is behind the store's single lock, where more threads would only
  // take turns.
  WorkerPool quick_{static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 2u, 8u)),
                    4096};
  WorkerPool slow_{4, 256};
};

absl::Status Overloaded();

}  // namespace quantfleet::daemon
