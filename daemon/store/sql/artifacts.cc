// Artifacts and the statements about them.
#include <soci/soci.h>

#include <algorithm>
#include <set>

#include "daemon/store/artifact_name.h"
#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

absl::StatusOr<std::string> DigestOfName(std::string_view name) {
  if (name.starts_with(kArtifactPrefix)) name.remove_prefix(kArtifactPrefix.size());
  if (!FromHex(std::string(name.size() % 2, '0') + std::string(name)) || name.empty())
    return InvalidArgument(
        "\"{}\" is not an artifact's name: give artifacts/DIGEST or the first hex digits of the "
        "digest",
        name);
  std::string digest(name);
  for (char& c : digest) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return digest;
}

void InsertStatement(soci::session& sql, const std::string& digest, const v1::Signed& statement) {
  const std::string packed = Pack(statement), statement_digest = HashText(packed).hex();
  const long long position = NextPosition(sql, "artifact_statements");
  sql << "INSERT INTO artifact_statements (digest, statement_digest, position, statement) VALUES "
         "(:d, :h, "
         ":p, :s)"
         " ON CONFLICT (digest, statement_digest) DO NOTHING",
      soci::use(digest), soci::use(statement_digest), soci::use(position), soci::use(packed);
}

// The one digest that begins with `prefix`.
absl::StatusOr<std::string> ResolveDigest(soci::session& sql, const std::string& prefix) {
  const std::string pattern = prefix + "%";  // hex digits only: nothing to escape
  const auto found = SelectTexts(
      sql, "SELECT digest FROM artifacts WHERE digest LIKE :p ORDER BY digest LIMIT 2", pattern);
  if (found.empty()) return NotFound("there is no artifact \"{}\"", prefix);
  if (found.size() > 1)
    return InvalidArgument("several artifacts begin with \"{}\": give more digits", prefix);
  return found[0];
}

// Devices that are assigned to the artifact, may step down to it, or report that they run it.
absl::StatusOr<std::set<std::string>> DevicesOfArtifact(soci::session& sql,
                                                        const std::string& digest) {
  std::set<std::string> ids;
  for (std::string& id : SelectTexts(
           sql, "SELECT device FROM assignments WHERE manifest_digest = :d OR step_down LIKE :a",
           digest, "%" + digest + "%"))
    ids.insert(std::move(id));
  std::string id, record;
  soci::statement rows = (sql.prepare << "SELECT device, record FROM model_statuses",
                          soci::into(id), soci::into(record));
  rows.execute();
  while (rows.fetch()) {
    // What cannot be read is reported again at the device's next check-in.
    const auto status = Unpack<v1::ModelStatus>(record);
    if (status.ok() && ToHex(AsBytes(status->active_manifest())) == digest) ids.insert(id);
  }
  return ids;
}

// "device a1, device b2 and 7 more"; empty when nobody needs the artifact. A revoked device needs
// nothing.
absl::StatusOr<std::string> UsersOfArtifact(const Transaction& tx, soci::session& sql,
                                            const std::string& digest) {
  std::vector<std::string> users;
  QF_ASSIGN_OR_RETURN(const std::set<std::string> ids, DevicesOfArtifact(sql, digest));
  for (const std::string& id : ids) {
    std::string record;
    sql << "SELECT record FROM devices WHERE id = :i", soci::use(id), soci::into(record);
    const auto device = Unpack<v1::Device>(record);
    if (!device.ok() || device->state() != v1::Device::REVOKED) users.push_back("device " + id);
  }
  const std::string name = ArtifactNameOfHex(digest);
  for (const std::string& rollout :
       SelectTexts(sql, "SELECT name FROM rollouts WHERE finished_ms = 0 ORDER BY position")) {
    QF_ASSIGN_OR_RETURN(const v1::Rollout whole, tx.rollouts().Get(rollout));
    const auto needs = [&](const v1::RolloutDevice& row) {
      return row.artifact() == name || row.previous_artifact() == name;
    };
    // A dynamic one may assign what none of its devices has yet.
    if (std::ranges::find(whole.artifacts(), name) != whole.artifacts().end() ||
        std::ranges::any_of(whole.devices(), needs))
      users.push_back(rollout);
  }
  constexpr size_t kNamed = 3;
  std::string text;
  for (size_t i = 0; i < std::min(users.size(), kNamed); ++i) text += (i ? ", " : "") + users[i];
  return users.size() <= kNamed ? text : text + fmt::format(" and {} more", users.size() - kNamed);
}

class SqlArtifactStore final : public ArtifactStore, private SqlSubject {
 public:
  explicit SqlArtifactStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<ArtifactRecord> Get(std::string_view name_or_prefix) const override;
  absl::StatusOr<std::vector<v1::Artifact>> List(std::string_view model) const override;
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListManifests(
      std::string_view after, size_t limit) const override;
  absl::Status Put(const ArtifactRecord& artifact) override;
  absl::Status AddStatement(std::string_view artifact, const v1::Signed& statement) override;
  absl::StatusOr<v1::Artifact> Delete(std::string_view name_or_prefix) override;
};

}  // namespace

absl::Status SqlArtifactStore::Put(const ArtifactRecord& artifact) {
  return Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::string digest, DigestOfName(artifact.artifact.name()));
    const std::string model = artifact.artifact.model(), record = Pack(artifact.artifact),
                      manifest = ToBase64Url(AsBytes(artifact.manifest));
    const long long stored = static_cast<long long>(artifact.artifact.stored_bytes()),
                    created = artifact.artifact.created_ms(),
                    position = NextPosition(sql, "artifact_models");
    sql << "INSERT INTO artifacts (digest, record, manifest, stored_bytes) VALUES (:d, :r, :m, :s)"
           " ON CONFLICT (digest) DO NOTHING",
        soci::use(digest), soci::use(record), soci::use(manifest), soci::use(stored);
    sql << "INSERT INTO artifact_models (digest, model, position, created_ms) VALUES (:d, :m, :p, "
           ":t)"
           " ON CONFLICT (digest, model) DO UPDATE SET position = excluded.position, created_ms = "
           "excluded.created_ms",
        soci::use(digest), soci::use(model), soci::use(position), soci::use(created);
    for (const v1::Signed& statement : artifact.statements) InsertStatement(sql, digest, statement);
    Note(Change::Kind::kArtifact, artifact.artifact.name());
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> SqlArtifactStore::ListManifests(
    std::string_view after, size_t limit) const {
  std::vector<std::pair<std::string, std::string>> manifests;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    if (after.starts_with(kArtifactPrefix)) after.remove_prefix(kArtifactPrefix.size());
    const std::string from(after);
    const long long most = static_cast<long long>(limit);
    std::string digest, manifest;
    soci::statement rows =
        (sql.prepare << "SELECT digest, manifest FROM artifacts WHERE digest > :a ORDER BY digest"
                        " LIMIT :n",
         soci::use(from), soci::use(most), soci::into(digest), soci::into(manifest));
    rows.execute();
    while (rows.fetch()) {
      const auto bytes = FromBase64Url(manifest);
      manifests.emplace_back(std::string(kArtifactPrefix) + digest,
                             bytes ? std::string(AsText(*bytes)) : "");
    }
    return absl::OkStatus();
  }));
  return manifests;
}

absl::StatusOr<ArtifactRecord> SqlArtifactStore::Get(std::string_view name_or_prefix) const {
  ArtifactRecord result;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::string prefix, DigestOfName(name_or_prefix));
    QF_ASSIGN_OR_RETURN(const std::string digest, ResolveDigest(sql, prefix));
    std::string record, manifest;
    sql << "SELECT record, manifest FROM artifacts WHERE digest = :d", soci::use(digest),
        soci::into(record), soci::into(manifest);
    QF_ASSIGN_OR_RETURN(result.artifact, Unpack<v1::Artifact>(record));
    auto bytes = FromBase64Url(manifest);
    if (!bytes)
      return DataLoss("the database contains a damaged manifest of {}", ArtifactNameOfHex(digest));
    result.manifest = AsText(*bytes);
    result.statements =
        SelectAll<v1::Signed>(context_, "statement",
                              "SELECT statement_digest, statement FROM artifact_statements"
                              " WHERE digest = :d ORDER BY position",
                              digest);
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<std::vector<v1::Artifact>> SqlArtifactStore::List(std::string_view model) const {
  std::vector<v1::Artifact> artifacts;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string wanted(model);
    std::string digest, record, of_model;
    long long created = 0;
    soci::statement rows(sql);
    rows.alloc();
    rows.prepare(
        std::string("SELECT a.digest, a.record, m.model, m.created_ms FROM artifact_models m"
                    " JOIN artifacts a ON a.digest = m.digest") +
        (wanted.empty() ? "" : " WHERE m.model = :w") + " ORDER BY m.position DESC");
    if (!wanted.empty()) rows.exchange(soci::use(wanted));
    rows.exchange(soci::into(digest));
    rows.exchange(soci::into(record));
    rows.exchange(soci::into(of_model));
    rows.exchange(soci::into(created));
    rows.define_and_bind();
    rows.execute();
    while (rows.fetch()) {
      auto artifact = Unpack<v1::Artifact>(record);
      if (!artifact.ok()) {
        context_.damaged.push_back({"artifact", std::string(kArtifactPrefix) + digest});
        continue;
      }
      artifact->set_model(of_model);
      artifact->set_created_ms(created);
      artifacts.push_back(*std::move(artifact));
    }
    return absl::OkStatus();
  }));
  return artifacts;
}

absl::Status SqlArtifactStore::AddStatement(std::string_view artifact,
                                            const v1::Signed& statement) {
  return Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::string prefix, DigestOfName(artifact));
    QF_ASSIGN_OR_RETURN(const std::string digest, ResolveDigest(sql, prefix));
    InsertStatement(sql, digest, statement);
    Note(Change::Kind::kArtifact, ArtifactNameOfHex(digest));
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Artifact> SqlArtifactStore::Delete(std::string_view name_or_prefix) {
  v1::Artifact artifact;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::string prefix, DigestOfName(name_or_prefix));
    QF_ASSIGN_OR_RETURN(const std::string digest, ResolveDigest(sql, prefix));
    QF_ASSIGN_OR_RETURN(const std::string users, UsersOfArtifact(transaction(), sql, digest));
    if (!users.empty())
      return FailedPrecondition("{} is needed by {}: roll out another one there first",
                                ArtifactNameOfHex(digest), users);
    std::string record;
    sql << "SELECT record FROM artifacts WHERE digest = :d", soci::use(digest), soci::into(record);
    auto found = Unpack<v1::Artifact>(record);
    if (found.ok())
      artifact = *std::move(found);
    else  // what cannot be read can be deleted
      artifact.set_name(std::string(kArtifactPrefix) + digest);
    sql << "DELETE FROM artifacts WHERE digest = :d", soci::use(digest);
    Note(Change::Kind::kArtifact, artifact.name());
    return absl::OkStatus();
  }));
  return artifact;
}

std::unique_ptr<ArtifactStore> MakeArtifactStore(SqlContext& context) {
  return std::make_unique<SqlArtifactStore>(context);
}

}  // namespace quantfleet::daemon
