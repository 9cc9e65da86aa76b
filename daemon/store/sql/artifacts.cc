// Artifacts and the statements about them.
#include <soci/soci.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <tuple>

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

// `version` 0 is of before versions: whichever was the newest when the artifact was made.
absl::Status AddVersion(const Transaction& tx, long long version, int64_t made_ms,
                        v1::Artifact& artifact) {
  auto number = static_cast<uint64_t>(version);
  if (number == 0) {
    const auto versions = tx.models().ListVersions(artifact.model());
    if (absl::IsNotFound(versions.status())) return absl::OkStatus();
    QF_RETURN_IF_ERROR(versions.status());
    const auto then = std::ranges::find_if(
        *versions, [&](const v1::Model& model) { return model.created_ms() <= made_ms; });
    if (then == versions->end()) return absl::OkStatus();
    number = then->version();
  }
  const auto& known = artifact.versions();
  if (std::ranges::find(known, number) == known.end()) artifact.add_versions(number);
  return absl::OkStatus();
}

// Those of the artifact's model, newest first.
absl::Status AddVersions(const Transaction& tx, soci::session& sql, const std::string& digest,
                         v1::Artifact& artifact) {
  artifact.clear_versions();
  const std::string model = artifact.model();
  long long version = 0, created = 0;
  std::vector<std::pair<long long, long long>> found;
  soci::statement rows =
      (sql.prepare << "SELECT version, created_ms FROM artifact_versions"
                      " WHERE digest = :d AND model = :m",
       soci::use(digest), soci::use(model), soci::into(version), soci::into(created));
  rows.execute();
  while (rows.fetch()) found.emplace_back(version, created);
  for (const auto& [number, made_ms] : found)
    QF_RETURN_IF_ERROR(AddVersion(tx, number, made_ms, artifact));
  std::ranges::sort(*artifact.mutable_versions(), std::greater<>());
  return absl::OkStatus();
}

using Repairs = std::map<std::string, std::string>;  // unfinished jobs, by the artifact's name

Repairs RepairsUnderWay(const Transaction& tx) {
  Repairs repairs;
  const auto jobs = tx.jobs().ListUnfinished();
  if (!jobs.ok()) return repairs;
  for (const JobRecord& job : *jobs)
    for (const std::string& artifact : job.job.repairs()) repairs[artifact] = job.job.name();
  return repairs;
}

// What is known to be damaged of it, with the way to mend that.
void AddDamage(soci::session& sql, const std::string& digest, const Repairs& repairs,
               v1::Artifact& artifact) {
  artifact.clear_damage();
  long long marks = 0, found = 0, manifest = 0;
  sql << "SELECT COUNT(*), COALESCE(MIN(found_ms), 0) FROM artifact_damage WHERE digest = :d",
      soci::use(digest), soci::into(marks), soci::into(found);
  if (marks == 0) return;
  sql << "SELECT COUNT(*) FROM artifact_damage WHERE digest = :d AND blob = :b", soci::use(digest),
      soci::use(digest), soci::into(manifest);
  v1::ArtifactDamage& damage = *artifact.mutable_damage();
  damage.set_blobs(static_cast<uint64_t>(marks - manifest));
  damage.set_manifest(manifest > 0);
  damage.set_found_ms(found);
  if (const auto job = repairs.find(ArtifactNameOfHex(digest)); job != repairs.end())
    damage.set_job(job->second);
  constexpr size_t kShortDigits = 12;
  damage.set_remedy(damage.job().empty()
                        ? "quantfleet artifact repair " + digest.substr(0, kShortDigits)
                        : "quantfleet job watch " + damage.job());
}

class SqlArtifactStore final : public ArtifactStore, private SqlSubject {
 public:
  explicit SqlArtifactStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<ArtifactRecord> Get(std::string_view name_or_prefix) const override;
  absl::StatusOr<std::string> Resolve(std::string_view name_or_prefix) const override;
  absl::StatusOr<std::vector<v1::Artifact>> List(std::string_view model) const override;
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ListManifests(
      std::string_view after, size_t limit) const override;
  absl::Status Put(const ArtifactRecord& artifact) override;
  absl::Status AddStatement(std::string_view artifact, const v1::Signed& statement) override;
  absl::StatusOr<v1::Artifact> Delete(std::string_view name_or_prefix) override;
  absl::StatusOr<bool> MarkDamaged(std::string_view name, const std::vector<Digest>& blobs,
                                   int64_t found_ms) override;
  absl::Status ClearDamage(const std::vector<Digest>& blobs) override;
  absl::StatusOr<std::vector<Digest>> ListDamagedBlobs() const override;
  absl::StatusOr<std::vector<std::string>> ListDamaged() const override;
};

}  // namespace

absl::Status SqlArtifactStore::Put(const ArtifactRecord& artifact) {
  return Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::string digest, DigestOfName(artifact.artifact.name()));
    const std::string model = artifact.artifact.model(), record = Pack(artifact.artifact),
                      manifest = ToBase64Url(AsBytes(artifact.manifest));
    const long long stored = static_cast<long long>(artifact.artifact.stored_bytes()),
                    created = artifact.artifact.created_ms(),
                    version = artifact.artifact.versions().empty()
                                  ? 0
                                  : static_cast<long long>(artifact.artifact.versions(0)),
                    position = NextPosition(sql, "artifact_versions");
    sql << "INSERT INTO artifacts (digest, record, manifest, stored_bytes) VALUES (:d, :r, :m, :s)"
           " ON CONFLICT (digest) DO UPDATE SET manifest = excluded.manifest",
        soci::use(digest), soci::use(record), soci::use(manifest), soci::use(stored);
    sql << "INSERT INTO artifact_versions (digest, model, version, position, created_ms) VALUES "
           "(:d, :m, :v, :p, :t)"
           " ON CONFLICT (digest, model, version) DO UPDATE SET position = excluded.position, "
           "created_ms = excluded.created_ms",
        soci::use(digest), soci::use(model), soci::use(version), soci::use(position),
        soci::use(created);
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
      const bool whole = bytes && HashBytes(*bytes).hex() == digest;
      manifests.emplace_back(std::string(kArtifactPrefix) + digest,
                             whole ? std::string(AsText(*bytes)) : "");
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
      return DataLoss(
          "the database contains a damaged manifest of {0}: run `quantfleet artifact repair {0}`",
          ArtifactNameOfHex(digest));
    result.manifest = AsText(*bytes);
    if (!SelectTexts(sql, "SELECT blob FROM artifact_damage WHERE digest = :d LIMIT 1", digest)
             .empty())
      AddDamage(sql, digest, RepairsUnderWay(transaction()), result.artifact);
    QF_RETURN_IF_ERROR(AddVersions(transaction(), sql, digest, result.artifact));
    result.statements =
        SelectAll<v1::Signed>(context_, "statement",
                              "SELECT statement_digest, statement FROM artifact_statements"
                              " WHERE digest = :d ORDER BY position",
                              digest);
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<std::string> SqlArtifactStore::Resolve(std::string_view name_or_prefix) const {
  std::string name;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::string prefix, DigestOfName(name_or_prefix));
    QF_ASSIGN_OR_RETURN(const std::string digest, ResolveDigest(sql, prefix));
    name = ArtifactNameOfHex(digest);
    return absl::OkStatus();
  }));
  return name;
}

absl::StatusOr<std::vector<v1::Artifact>> SqlArtifactStore::List(std::string_view model) const {
  std::vector<v1::Artifact> artifacts;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string wanted(model);
    std::string digest, record, of_model;
    long long created = 0, version = 0;
    std::vector<std::tuple<std::string, std::string, std::string, long long, int64_t>> found;
    soci::statement rows(sql);
    rows.alloc();
    rows.prepare(std::string("SELECT a.digest, a.record, m.model, m.version, m.created_ms FROM "
                             "artifact_versions m"
                             " JOIN artifacts a ON a.digest = m.digest") +
                 (wanted.empty() ? "" : " WHERE m.model = :w") + " ORDER BY m.position DESC");
    if (!wanted.empty()) rows.exchange(soci::use(wanted));
    rows.exchange(soci::into(digest));
    rows.exchange(soci::into(record));
    rows.exchange(soci::into(of_model));
    rows.exchange(soci::into(version));
    rows.exchange(soci::into(created));
    rows.define_and_bind();
    rows.execute();
    while (rows.fetch()) found.emplace_back(digest, record, of_model, version, created);
    std::map<std::pair<std::string, std::string>, size_t> places;  // by name and model
    for (const auto& [hex, packed, name, number, made_ms] : found) {
      auto artifact = Unpack<v1::Artifact>(packed);
      if (!artifact.ok()) {
        context_.damaged.push_back({"artifact", std::string(kArtifactPrefix) + hex});
        continue;
      }
      const auto [place, first] = places.emplace(std::pair(hex, name), artifacts.size());
      if (first) {
        artifact->set_model(name);
        artifact->set_created_ms(made_ms);
        artifact->clear_versions();
        artifacts.push_back(*std::move(artifact));
      }
      QF_RETURN_IF_ERROR(AddVersion(transaction(), number, made_ms, artifacts[place->second]));
    }
    const std::vector<std::string> listed =
        SelectTexts(sql, "SELECT DISTINCT digest FROM artifact_damage");
    const std::set<std::string> damaged(listed.begin(), listed.end());
    const Repairs repairs = damaged.empty() ? Repairs() : RepairsUnderWay(transaction());
    for (const auto& [key, place] : places) {
      std::ranges::sort(*artifacts[place].mutable_versions(), std::greater<>());
      if (damaged.contains(key.first)) AddDamage(sql, key.first, repairs, artifacts[place]);
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

absl::StatusOr<bool> SqlArtifactStore::MarkDamaged(std::string_view name,
                                                   const std::vector<Digest>& blobs,
                                                   int64_t found_ms) {
  bool news = false;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::string digest, DigestOfName(name));
    if (SelectTexts(sql, "SELECT digest FROM artifacts WHERE digest = :d", digest).empty())
      return absl::OkStatus();
    const auto count = [&] {
      long long marks = 0;
      sql << "SELECT COUNT(*) FROM artifact_damage WHERE digest = :d", soci::use(digest),
          soci::into(marks);
      return marks;
    };
    const long long found = found_ms, before = count();
    std::string blob;
    soci::statement insert =
        (sql.prepare << "INSERT INTO artifact_damage (digest, blob, found_ms) VALUES (:d, :b, :t)"
                        " ON CONFLICT (digest, blob) DO NOTHING",
         soci::use(digest), soci::use(blob), soci::use(found));
    for (const Digest& each : blobs) {
      blob = each.hex();
      insert.execute(true);
    }
    news = count() > before;
    if (news) Note(Change::Kind::kArtifact, ArtifactNameOfHex(digest));
    return absl::OkStatus();
  }));
  return news;
}

absl::Status SqlArtifactStore::ClearDamage(const std::vector<Digest>& blobs) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::vector<std::string> listed =
        SelectTexts(sql, "SELECT DISTINCT blob FROM artifact_damage");
    const std::set<std::string> marked(listed.begin(), listed.end());
    if (marked.empty()) return absl::OkStatus();
    for (const Digest& each : blobs) {
      const std::string blob = each.hex();
      if (!marked.contains(blob)) continue;
      for (const std::string& digest :
           SelectTexts(sql, "SELECT digest FROM artifact_damage WHERE blob = :b", blob))
        Note(Change::Kind::kArtifact, ArtifactNameOfHex(digest));
      sql << "DELETE FROM artifact_damage WHERE blob = :b", soci::use(blob);
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<Digest>> SqlArtifactStore::ListDamagedBlobs() const {
  std::vector<Digest> blobs;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    for (const std::string& hex :
         SelectTexts(sql, "SELECT DISTINCT blob FROM artifact_damage ORDER BY blob")) {
      QF_ASSIGN_OR_RETURN(blobs.emplace_back(), Digest::FromHexText(hex));
    }
    return absl::OkStatus();
  }));
  return blobs;
}

absl::StatusOr<std::vector<std::string>> SqlArtifactStore::ListDamaged() const {
  std::vector<std::string> names;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    for (const std::string& hex :
         SelectTexts(sql, "SELECT DISTINCT digest FROM artifact_damage ORDER BY digest"))
      names.push_back(ArtifactNameOfHex(hex));
    return absl::OkStatus();
  }));
  return names;
}

std::unique_ptr<ArtifactStore> MakeArtifactStore(SqlContext& context) {
  return std::make_unique<SqlArtifactStore>(context);
}

}  // namespace quantfleet::daemon
