// How a call is answered: the use case runs on a worker thread for the caller that the certificate
// names, as a call of its method (app/calls.h), and its value or status finishes the call.
// Thread-safe.
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
#include "daemon/app/calls.h"
#include "daemon/grpc/bounded.h"
#include "daemon/grpc/worker_pool.h"

namespace grpc {
class ByteBuffer;
class CallbackServerContext;
class ServerUnaryReactor;
}  // namespace grpc
namespace google::protobuf {
class Message;
class MethodDescriptor;
}  // namespace google::protobuf

namespace quantfleet::daemon {

class Dispatcher {
 public:
  using Work = std::function<absl::Status(const app::Caller&)>;
  // A call came from `peer`, as gRPC writes it; `known`: its client has shown who it is. From any
  // thread.
  using Met = std::function<void(const std::string& peer, bool known)>;

  // What a device is told of an error (app/device_errors.h).
  using ForDevice = std::function<absl::Status(const absl::Status&)>;

  Dispatcher(app::Calls& calls, Met met, ForDevice for_device)
      : calls_(calls), met_(std::move(met)), for_device_(std::move(for_device)) {}

  // A method of a service of quantfleet.v1, which a translator names as its own function: it has
  // the name of the method that it overrides.
  static const google::protobuf::MethodDescriptor& Method(std::string_view service,
                                                          std::string_view function);
  using Named = const google::protobuf::MethodDescriptor&;

  // A use case: a method of `subject` that takes the caller and the request. Slow: it may take a
  // while (reads or hashes files, looks at a whole fleet).
  template <typename Subject, typename Request, typename Answer>
  grpc::ServerUnaryReactor* Run(Named method, grpc::CallbackServerContext* context,
                                const Request* request, Answer* answer, Subject& subject,
                                absl::StatusOr<Answer> (Subject::*use_case)(const app::Caller&,
                                                                            const Request&)) {
    return RunOn(quick_, context, Bind(method, request, answer, subject, use_case));
  }
  template <typename Subject, typename Request, typename Answer>
  grpc::ServerUnaryReactor* RunSlow(Named method, grpc::CallbackServerContext* context,
                                    const Request* request, Answer* answer, Subject& subject,
                                    absl::StatusOr<Answer> (Subject::*use_case)(const app::Caller&,
                                                                                const Request&)) {
    return RunOn(slow_, context, Bind(method, request, answer, subject, use_case));
  }

  // A use case that strangers may call too: its message is bounded before it is made.
  // It comes as bytes, which gRPC itself would refuse for a string that is not UTF-8, and whose
  // unknown fields it would keep. Vouches: whoever gets an answer has thereby shown who it is.
  template <typename Subject, typename Request, typename Answer>
  grpc::ServerUnaryReactor* RunBytes(Named method, grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* bytes, grpc::ByteBuffer* answer,
                                     const MessageBounds& bounds, bool vouches, Subject& subject,
                                     absl::StatusOr<Answer> (Subject::*use_case)(const app::Caller&,
                                                                                 const Request&)) {
    return RunForDevice(
        context, [=, this, &method, &subject](const app::Caller& caller) -> absl::Status {
          Answer made;
          QF_RETURN_IF_ERROR(calls_.Run({caller, method, nullptr, &made}, [&]() -> absl::Status {
            QF_ASSIGN_OR_RETURN(const std::string flat,
                                Read(*bytes, *Request::descriptor(), bounds));
            QF_ASSIGN_OR_RETURN(const Request request, ParseClean<Request>(flat));
            QF_ASSIGN_OR_RETURN(made, (subject.*use_case)(caller, request));
            return absl::OkStatus();
          }));
          if (vouches) Vouch(*context);
          return Write(made, *answer);
        });
  }
  // One that only devices call.
  template <typename Subject, typename Request, typename Answer>
  grpc::ServerUnaryReactor* RunForDevice(
      Named method, grpc::CallbackServerContext* context, const Request* request, Answer* answer,
      Subject& subject,
      absl::StatusOr<Answer> (Subject::*use_case)(const app::Caller&, const Request&)) {
    return RunForDevice(context, Bind(method, request, answer, subject, use_case));
  }

  // Who calls; whoever keeps the door hears of it.
  app::Caller Meet(const grpc::CallbackServerContext& context);
  // A call that was refused for want of a certificate, by its path; from gRPC's threads.
  void Refused(std::string_view path, const absl::Status& why);
  app::Calls& calls() { return calls_; }
  WorkerPool& quick() { return quick_; }
  WorkerPool& slow() { return slow_; }
  void Stop();

 private:
  template <typename Subject, typename Request, typename Answer>
  Work Bind(Named method, const Request* request, Answer* answer, Subject& subject,
            absl::StatusOr<Answer> (Subject::*use_case)(const app::Caller&, const Request&)) {
    return [=, this, &method, &subject](const app::Caller& caller) -> absl::Status {
      return calls_.Run({caller, method, request, answer}, [&]() -> absl::Status {
        QF_ASSIGN_OR_RETURN(*answer, (subject.*use_case)(caller, *request));
        return absl::OkStatus();
      });
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

  app::Calls& calls_;
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
