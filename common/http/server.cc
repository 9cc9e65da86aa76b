#include "common/http/server.h"

#include <unistd.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <condition_variable>
#include <thread>

#include "common/http/connection_asio.h"

namespace quantfleet::http {
namespace {

constexpr auto kAcceptPause = std::chrono::milliseconds(100);

}  // namespace

struct Server::Impl {
  Impl(Options options, Handler handler) : state(std::move(options), std::move(handler)) {}

  struct Listener {
    explicit Listener(asio::io_context& io) : acceptor(asio::make_strand(io)) {}
    asio::basic_socket_acceptor<Protocol> acceptor;
    asio::steady_timer pause{acceptor.get_executor()};
  };

  absl::Status Prepare();
  void Listen(const ListenSocket& socket);
  asio::awaitable<void> Accept(Listener& listener);
  void Take(Socket socket);
  void Ended(const std::shared_ptr<Connection>& connection);
  void CloseAll(bool also_answering);
  void Run();
  void Drain();
  void Stop(std::chrono::milliseconds grace);

  ServerState state;
  asio::io_context io;
  std::vector<std::unique_ptr<Listener>> listeners;
  std::vector<std::thread> threads;
  // Guarded by the state's mutex.
  std::condition_variable idle;  // a connection or a thread ended
  std::map<uint64_t, std::shared_ptr<Connection>> connections;
  uint64_t next_id = 0;
  int running = 0;  // threads
};

absl::Status Server::Impl::Prepare() {
  if (!state.options.tls) return absl::OkStatus();
  state.tls.emplace(asio::ssl::context::tls_server);
  return ConfigureTls(state.tls->native_handle(), *state.options.tls);
}

void Server::Impl::Listen(const ListenSocket& socket) {
  listeners.push_back(std::make_unique<Listener>(io));
  Listener& listener = *listeners.back();
  listener.acceptor.assign(Protocol(socket.family, 0), socket.fd);
  asio::co_spawn(listener.acceptor.get_executor(), Accept(listener), [](std::exception_ptr) {});
  if (!threads.empty()) return;
  running = std::max(1, state.options.threads);
  for (int i = running; i > 0; --i) threads.emplace_back([this] { Run(); });
}

asio::awaitable<void> Server::Impl::Accept(Listener& listener) {
  while (listener.acceptor.is_open()) {
    Socket socket(asio::make_strand(io));
    auto [error] = co_await listener.acceptor.async_accept(socket, kTuple);
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) co_return;
    if (!error) {
      Take(std::move(socket));
      continue;
    }
    // Out of descriptors: what is open has to end first.
    listener.pause.expires_after(kAcceptPause);
    co_await listener.pause.async_wait(kTuple);
  }
}

void Server::Impl::Take(Socket socket) {
  const auto strand = socket.get_executor();
  error_code gone;
  const auto from = socket.remote_endpoint(gone);
  if (gone) return;
  const std::string address = ClientNetwork(from.data());
  std::shared_ptr<Connection> connection, gives_way;
  {
    std::lock_guard lock(state.mutex);
    if (state.draining) return;
    const uint64_t id = next_id++;
    const auto now = std::chrono::steady_clock::now();
    const Crowd::Entry entry = state.crowd.Enter(id, address, now);
    if (entry.gives_way) gives_way = connections[*entry.gives_way];
    if (entry.kind == Crowd::Entry::Kind::kLater) state.crowd.CountRefused();
    if (entry.kind == Crowd::Entry::Kind::kServed ||
        entry.kind == Crowd::Entry::Kind::kTurnedAway) {
      // A handshake is waited for as a request is.
      if (entry.kind == Crowd::Entry::Kind::kServed) state.crowd.BeginWaiting(id, now);
      connection = std::make_shared<Connection>(
          id, std::move(socket), entry.kind == Crowd::Entry::Kind::kTurnedAway, state);
      connections.emplace(id, connection);
    }
  }
  if (gives_way) gives_way->Close(/*also_answering=*/false);
  if (connection)
    asio::co_spawn(strand, connection->Serve(),
                   [this, connection](std::exception_ptr) { Ended(connection); });
}

void Server::Impl::Ended(const std::shared_ptr<Connection>& connection) {
  std::lock_guard lock(state.mutex);
  state.crowd.Leave(connection->id());
  connections.erase(connection->id());
  if (connections.empty()) idle.notify_all();
}

void Server::Impl::CloseAll(bool also_answering) {
  std::map<uint64_t, std::shared_ptr<Connection>> open;
  {
    std::lock_guard lock(state.mutex);
    open = connections;
  }
  for (const auto& [id, connection] : open) connection->Close(also_answering);
}

void Server::Impl::Run() {
  io.run();
  std::lock_guard lock(state.mutex);
  --running;
  idle.notify_all();
}

void Server::Impl::Drain() {
  {
    std::lock_guard lock(state.mutex);
    if (state.draining.exchange(true)) return;
  }
  for (const auto& listener : listeners)
    asio::post(listener->acceptor.get_executor(), [&listener = *listener] {
      error_code ignored;
      listener.acceptor.close(ignored);
      listener.pause.cancel();
    });
  CloseAll(false);
}

void Server::Impl::Stop(std::chrono::milliseconds grace) {
  Drain();
  if (threads.empty()) return;
  {
    std::unique_lock lock(state.mutex);
    idle.wait_for(lock, grace, [this] { return connections.empty(); });
  }
  CloseAll(true);
  {
    // With the acceptor and every connection closed the threads run out of work.
    std::unique_lock lock(state.mutex);
    idle.wait_for(lock, kLinger, [this] { return running == 0; });
  }
  io.stop();
  for (std::thread& thread : threads) thread.join();
  threads.clear();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Make(Options options, Handler handler) {
  try {
    if (!options.refuse) options.refuse = [](const Refusal&) { return std::nullopt; };
    auto impl = std::make_unique<Impl>(std::move(options), std::move(handler));
    QF_RETURN_IF_ERROR(impl->Prepare());
    return std::unique_ptr<Server>(new Server(std::move(impl)));
  } catch (const std::exception& e) {
    return Internal("making a server: {}", e.what());
  }
}

absl::Status Server::Listen(const ListenSocket& socket) {
  try {
    impl_->Listen(socket);
    return absl::OkStatus();
  } catch (const std::exception& e) {
    return Internal("starting to serve at {}: {}", socket.endpoint, e.what());
  }
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { Stop(std::chrono::milliseconds(0)); }
void Server::Drain() { impl_->Drain(); }
void Server::Stop(std::chrono::milliseconds grace) { impl_->Stop(grace); }

Server::Traffic Server::traffic() const {
  std::lock_guard lock(impl_->state.mutex);
  return {impl_->state.answers, impl_->state.crowd.counts(), impl_->state.source_bytes};
}

}  // namespace quantfleet::http
