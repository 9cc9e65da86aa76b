// A customer's own CA for tests, with keys of any kind: what quantfleet's own code never makes.
#pragma once

#include <string>

#include "common/base/clock.h"
#include "common/trust/openssl_handles.h"

namespace quantfleet::testing {

struct ForeignIdentity {
  std::string certificate_pem, private_pem;
};

class ForeignCa {
 public:
  enum class Kind { kEc, kRsa, kRsa1024, kEd25519 };

  // A root that signs by a key of this kind; with `issuer`, an intermediate one.
  explicit ForeignCa(const Clock& clock, Kind kind = Kind::kEc, const ForeignCa* issuer = nullptr)
      : clock_(clock), key_(MakeKey(kind)) {
    static int made = 0;  // two of one name could not be told apart
    certificate_ = Make("customer CA " + std::to_string(++made), key_.get(),
                        issuer ? issuer->certificate_.get() : nullptr,
                        issuer ? issuer->key_.get() : key_.get(), std::chrono::hours(24 * 365),
                        "critical,CA:TRUE", "");
  }

  std::string pem() const { return trust::CertificateToPem(certificate_.get()); }

  // `purpose`: an extended key usage; empty: none, as devices' birth certificates have it.
  ForeignIdentity Issue(const std::string& name, Kind kind = Kind::kEc,
                        const std::string& purpose = "",
                        Duration lifetime = std::chrono::hours(1)) const {
    const trust::KeyPtr key = MakeKey(kind);
    const trust::X509Ptr leaf = Make(name, key.get(), certificate_.get(), key_.get(), lifetime,
                                     "critical,CA:FALSE", purpose);
    return {trust::CertificateToPem(leaf.get()), trust::PrivateKeyToPem(key.get())};
  }

 private:
  static trust::KeyPtr MakeKey(Kind kind) {
    switch (kind) {
      case Kind::kRsa:
        return trust::KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{2048}));
      case Kind::kRsa1024:
        return trust::KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{1024}));
      case Kind::kEd25519:
        return trust::KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
      default:
        return trust::KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384"));
    }
  }

  // issuer null: self-signed.
  trust::X509Ptr Make(const std::string& name, EVP_PKEY* key, X509* issuer, EVP_PKEY* by,
                      Duration lifetime, const char* constraints,
                      const std::string& purpose) const {
    trust::X509Ptr made(X509_new());
    X509_set_version(made.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial_);
    const auto seconds =
        std::chrono::floor<std::chrono::seconds>(clock_.Now()).time_since_epoch().count();
    ASN1_TIME_set(X509_getm_notBefore(made.get()), seconds - 60);
    ASN1_TIME_set(X509_getm_notAfter(made.get()),
                  seconds + std::chrono::duration_cast<std::chrono::seconds>(lifetime).count());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_pubkey(made.get(), key);
    X509_set_issuer_name(made.get(), X509_get_subject_name(issuer ? issuer : made.get()));
    Extend(made.get(), NID_basic_constraints, constraints);
    if (!purpose.empty()) Extend(made.get(), NID_ext_key_usage, purpose.c_str());
    X509_sign(made.get(), by,
              EVP_PKEY_get_base_id(by) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256());
    return made;
  }

  static void Extend(X509* certificate, int nid, const char* value) {
    const trust::X509ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value));
    X509_add_ext(certificate, extension.get(), -1);
  }

  const Clock& clock_;
  mutable long serial_ = 0;
  trust::KeyPtr key_;
  trust::X509Ptr certificate_;
};

}  // namespace quantfleet::testing
