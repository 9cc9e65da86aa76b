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
#include "daemon/grpc/bounded.h"
#include "daemon/grpc/worker_pool.h"

namespace grpc {
class ByteBuffer;
class CallbackServerContext;
class ServerUnaryReactor;
}  // namespace grpc
namespace google::protobuf {
class Message;
}

namespace quantfleet::daemon {

class Dispatcher {
 public:
  using Work = std::function<absl::Status(const app::Caller&)>;
  // A call came from `peer`, as gRPC writes it; `known`: its client has shown who it is. From any
  // thread.
  using Met = std::function<void(const std::string& peer, bool known)>;

  // What a device is told of an error (app/device_errors.h).
  using ForDevice = std::function<absl::Status(const absl::Status&)>;

  Dispatcher(Met met, ForDevice for_device)
      : met_(std::move(met)), for_device_(std::move(for_device)) {}

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

  // A use case of devices, which strangers may call too: its message is bounded before it is made.
  // It comes as bytes, which gRPC itself would refuse for a string that is not UTF-8, and whose
  // unknown fields it would keep. Vouches: whoever gets an answer has thereby shown who it is.
  template <typename Subject, typename Request, typename Answer>
  grpc::ServerUnaryReactor* RunBytes(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* bytes, grpc::ByteBuffer* answer,
                                     const MessageBounds& bounds, bool vouches, Subject& subject,
                                     absl::StatusOr<Answer> (Subject::*use_case)(const app::Caller&,
                                                                                 const Request&)) {
    return RunForDevice(context, [=, this, &subject](const app::Caller& caller) -> absl::Status {
      QF_ASSIGN_OR_RETURN(const std::string flat, Read(*bytes, *Request::descriptor(), bounds));
      QF_ASSIGN_OR_RETURN(const Request request, ParseClean<Request>(flat));
      QF_ASSIGN_OR_RETURN(const Answer made, (subject.*use_case)(caller, request));
      if (vouches) Vouch(*context);
      return Write(made, *answer);
    });
  }
  // One that only devices call.
  template <typename Subject, typename Request, typename Answer>
  grpc::ServerUnaryReactor* RunForDevice(
      grpc::CallbackServerContext* context, const Request* request, Answer* answer,
      Subject& subject,
      absl::StatusOr<Answer> (Subject::*use_case)(const app::Caller&, const Request&)) {
    return RunForDevice(context, Bind(request, answer, subject, use_case));
  }

  // Who calls; whoever keeps the door hears of it.
  app::Caller Meet(const grpc::CallbackServerContext& context);
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
  grpc::ServerUnaryReactor* RunForDevice(grpc::CallbackServerContext* context, Work work);
  grpc::ServerUnaryReactor* RunOn(WorkerPool& pool, grpc::CallbackServerContext* context,
                                  Work work);
  void Vouch(const grpc::CallbackServerContext& context);
  static absl::StatusOr<std::string> Read(const grpc::ByteBuffer& bytes,
                                          const google::protobuf::Descriptor& type,
                                          const MessageBounds& bounds);
  static absl::Status Write(const google::protobuf::Message& message, grpc::ByteBuffer& bytes);

  const Met met_;
  const ForDevice for_device_;
  // One per core: most of the work is behind the store's single lock, where more threads would only
  // take turns.
  WorkerPool quick_{static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 2u, 8u)),
                    4096};
  WorkerPool slow_{4, 256};
};

absl::Status Overloaded();

}  // namespace quantfleet::daemon
