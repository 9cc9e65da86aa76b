// An enrolled device's connection to its daemon: calls with the current certificate, which is
// renewed in time, even when it expired long ago or this machine's clock is wrong.
//
// Thread-safe: calls may come from several threads; renewal happens once. Collaborators must
// outlive the session.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/identity/device_api.h"
#include "agent/identity/identity_store.h"
#include "agent/identity/trusted_clock.h"

namespace quantfleet::agent {

class Session {
 public:
  // The identity as IdentityStore loaded it. Raises the clock's floor to what the identity proves
  // to have passed.
  Session(const IdentityStore& store, Connector connect, TrustedClock& clock,
          DeviceIdentity identity);

  // UNAVAILABLE: try later. PERMISSION_DENIED: this device is revoked. Learns the time, the blob
  // endpoint, and a newer trust root if a key of the present one has signed it. Nothing unsigned
  // ever changes whom this device trusts.
  absl::StatusOr<v1::CheckInResponse> CheckIn(v1::CheckInRequest request);
  absl::StatusOr<v1::DeviceArtifact> GetArtifact(const v1::GetDeviceArtifactRequest& request);

  // This machine's clock and the daemon's at the last word of the daemon, where the two are so far
  // apart that certificates fail: for a warning that says which one to set.
  std::optional<trust::ClockPair> ClocksApart() const;
  std::string DescribeClocks(const trust::ClockPair& clocks) const;

  DeviceIdentity identity() const;
  // How blobs are downloaded now.
  struct BlobAccess {
    std::string address;
    net::ServerTrust trust;
    net::ClientIdentity client;
  };
  BlobAccess blob_access() const;

  // Ends calls under way; all later ones are CANCELLED.
  void Stop();

 private:
  // The API, with a certificate that is renewed first if it is due.
  absl::StatusOr<std::shared_ptr<DeviceApi>> Ready();
  // After `failure`: OK when its cause was the time or the certificate and is fixed now, so that
  // the call is worth another attempt; else the error that the caller should see.
  absl::Status Mend(const absl::Status& failure);

  // These need mutex_.
  absl::Status LearnTime();
  // The certificate ends soon or has not begun.
  bool RenewalDue() const;
  bool Holds() const;  // it has begun, and has not ended
  Time Made() const;   // when the certificate was made; Time{}: not known
  absl::Status Renew();
  absl::Status AdoptGranted(const v1::Identity& granted);
  absl::Status ReadLifetime();
  void Hear(Time said);
  void Believe(Time said);  // keeps it
  absl::Status WithClocks(const absl::Status& failure) const;
  net::ServerTrust Trust() const;

  // Where calls with a certificate go: the listener of the fleet's own, if the daemon has one that
  // answers; else where this device enrolled.
  std::string FleetAddress() const;

  // Connects and remembers the connection, so that Stop can end it.
  std::shared_ptr<DeviceApi> Connect(const std::string& address, const net::ServerTrust& trust,
                                     const net::ClientIdentity& client);

  const IdentityStore& store_;
  const Connector connect_;
  TrustedClock& clock_;

  mutable std::mutex mutex_;
  DeviceIdentity identity_;
  Time not_before_{}, not_after_{};  // of the certificate
  bool of_newest_ca_ = true;         // it leads to the last CA of the trust root
  uint32_t renewed_under_ = 0;       // the trust root's version at the last renewal
  std::shared_ptr<DeviceApi> api_;   // with the certificate of identity_; null: to be made
  std::string api_address_;
  Time fleet_shunned_until_{};
  Time saved_time_{};
  bool saved_ = true;                  // identity_ is in the store
  std::optional<Time> unproven_time_;  // said without proof, later than the certificate's end: a
                                       // renewal shows whether it is so
  bool not_begun_ = false;  // the daemon's time is before the certificate's beginning, and nobody
                            // knows a better one: a renewal shows whether it is so
  std::optional<trust::ClockPair> compared_;  // at the daemon's last word

  std::mutex stop_mutex_;
  bool stopped_ = false;
  std::vector<std::weak_ptr<DeviceApi>> lines_;
};

}  // namespace quantfleet::agent
