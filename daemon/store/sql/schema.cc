#include "daemon/store/sql/schema.h"

namespace quantfleet::daemon {
namespace {

// `position` increases in the order of creation: clocks may jump, it does not.
constexpr const char* kVersion1[] = {
    "CREATE TABLE requests (method TEXT NOT NULL, request_id TEXT NOT NULL, resource TEXT NOT NULL,"
    " PRIMARY KEY (method, request_id))",

    "CREATE TABLE models (name TEXT PRIMARY KEY, record TEXT NOT NULL)",

    "CREATE TABLE pushes (id TEXT PRIMARY KEY, model TEXT NOT NULL, created_ms BIGINT NOT NULL,"
    " committed INTEGER NOT NULL, position BIGINT NOT NULL)",
    "CREATE TABLE push_files (push TEXT NOT NULL REFERENCES pushes (id) ON DELETE CASCADE, path "
    "TEXT NOT "
    "NULL,"
    " size BIGINT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (push, path))",

    "CREATE TABLE jobs (name TEXT PRIMARY KEY, state INTEGER NOT NULL, position BIGINT NOT NULL, "
    "record TEXT "
    "NOT NULL,"
    " source_path TEXT NOT NULL, targets TEXT NOT NULL, plan_digest TEXT NOT NULL, "
    "source_fingerprint TEXT "
    "NOT NULL)",
    "CREATE INDEX jobs_by_state ON jobs (state, position)",
    "CREATE TABLE job_slabs (job TEXT NOT NULL REFERENCES jobs (name) ON DELETE CASCADE, slab "
    "BIGINT NOT "
    "NULL,"
    " record TEXT NOT NULL, PRIMARY KEY (job, slab))",

    "CREATE TABLE artifacts (digest TEXT PRIMARY KEY, record TEXT NOT NULL, manifest TEXT NOT NULL,"
    " stored_bytes BIGINT NOT NULL)",
    "CREATE TABLE artifact_models (digest TEXT NOT NULL REFERENCES artifacts (digest) ON DELETE "
    "CASCADE,"
    " model TEXT NOT NULL, position BIGINT NOT NULL, created_ms BIGINT NOT NULL, PRIMARY KEY "
    "(digest, "
    "model))",
    "CREATE INDEX artifact_models_by_model ON artifact_models (model, position)",
    "CREATE TABLE artifact_statements (digest TEXT NOT NULL REFERENCES artifacts (digest) ON "
    "DELETE CASCADE,"
    " statement_digest TEXT NOT NULL, position BIGINT NOT NULL, statement TEXT NOT NULL,"
    " PRIMARY KEY (digest, statement_digest))",

    "CREATE TABLE classes (name TEXT PRIMARY KEY, record TEXT NOT NULL)",

    "CREATE TABLE tokens (id TEXT PRIMARY KEY, secret_hash TEXT NOT NULL, position BIGINT NOT NULL,"
    " record TEXT NOT NULL)",

    "CREATE TABLE devices (id TEXT PRIMARY KEY, public_key TEXT NOT NULL UNIQUE, token TEXT NOT "
    "NULL,"
    " last_seen_ms BIGINT NOT NULL, record TEXT NOT NULL)",
    "CREATE INDEX devices_by_last_seen ON devices (last_seen_ms)",
    "CREATE TABLE model_statuses (device TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE, "
    "model TEXT "
    "NOT NULL,"
    " record TEXT NOT NULL, PRIMARY KEY (device, model))",
    "CREATE TABLE assignments (device TEXT NOT NULL REFERENCES devices (id) ON DELETE CASCADE, "
    "model TEXT "
    "NOT NULL,"
    " release_number BIGINT NOT NULL, manifest_digest TEXT NOT NULL, rollout TEXT NOT NULL, "
    "statement TEXT "
    "NOT NULL,"
    " PRIMARY KEY (device, model))",

    "CREATE TABLE rollouts (name TEXT PRIMARY KEY, model TEXT NOT NULL, state INTEGER NOT NULL,"
    " created_ms BIGINT NOT NULL, finished_ms BIGINT NOT NULL, position BIGINT NOT NULL)",
    "CREATE TABLE rollout_devices (rollout TEXT NOT NULL REFERENCES rollouts (name) ON DELETE "
    "CASCADE,"
    " device TEXT NOT NULL, state INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (rollout, "
    "device))",
    "CREATE INDEX rollout_devices_by_device ON rollout_devices (device)",
};

// Phased rollouts. A rollout's own fields become a record as everywhere else; older ones have an
// empty one. Devices in flight get the default of one day.
constexpr const char* kVersion2[] = {
    "ALTER TABLE rollouts ADD COLUMN record TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE rollouts ADD COLUMN dynamic INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX rollouts_by_state ON rollouts (state, position)",
    "CREATE INDEX rollouts_by_dynamic ON rollouts (dynamic, position)",
    "ALTER TABLE rollout_devices ADD COLUMN phase INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE rollout_devices ADD COLUMN delay_ms BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE rollout_devices ADD COLUMN deadline_ms BIGINT NOT NULL DEFAULT 0",
    ("UPDATE rollout_devices SET deadline_ms = 86400000 +"
     " (SELECT created_ms FROM rollouts WHERE rollouts.name = rollout_devices.rollout) WHERE state "
     "IN (1, 2)"),
    "CREATE INDEX rollout_devices_by_state ON rollout_devices (rollout, state, phase, delay_ms)",
    "CREATE INDEX rollout_devices_by_deadline ON rollout_devices (rollout, deadline_ms)",
};

// Groups of devices. Rows get a revision with each change in a rollout, for its watchers.
// Priorities: the next devices are read in the order of turns, skipping those in flight elsewhere.
// What devices took recently is read for estimates.
constexpr const char* kVersion3[] = {
    "CREATE TABLE device_groups (name TEXT PRIMARY KEY, record TEXT NOT NULL)",
    "ALTER TABLE rollout_devices ADD COLUMN revision BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX rollout_devices_by_revision ON rollout_devices (rollout, revision)",
    "ALTER TABLE rollouts ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE rollout_devices ADD COLUMN code INTEGER NOT NULL DEFAULT 0",
    "DROP INDEX rollout_devices_by_state",
    ("CREATE INDEX rollout_devices_by_turn ON rollout_devices (rollout, state, phase, delay_ms, "
     "device)"),
    "DROP INDEX rollout_devices_by_device",
    "CREATE INDEX rollout_devices_by_device_state ON rollout_devices (device, state)",
    "ALTER TABLE rollout_devices ADD COLUMN finished_ms BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX rollout_devices_by_finish ON rollout_devices (state, finished_ms)",
    // What a device may step down to: hex digests, a blank behind each.
    "ALTER TABLE assignments ADD COLUMN step_down TEXT NOT NULL DEFAULT ''",
};

// Several ways to enroll. Until then only a device's last token was known.
constexpr const char* kVersion4[] = {
    "CREATE TABLE token_uses (token TEXT NOT NULL REFERENCES tokens (id) ON DELETE CASCADE, "
    "public_key TEXT NOT NULL,"
    " used_ms BIGINT NOT NULL, PRIMARY KEY (token, public_key))",
    "CREATE INDEX token_uses_by_time ON token_uses (token, used_ms)",
    "INSERT INTO token_uses (token, public_key, used_ms)"
    " SELECT token, public_key, 0 FROM devices WHERE token IN (SELECT id FROM tokens)",

    "ALTER TABLE devices RENAME COLUMN token TO admission",
    "UPDATE devices SET admission = 'token ' || admission WHERE admission <> ''",
    "CREATE INDEX devices_by_admission ON devices (admission)",
    "ALTER TABLE devices ADD COLUMN hardware TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX devices_by_hardware ON devices (hardware)",

    "CREATE TABLE allowed_devices (id TEXT PRIMARY KEY, record TEXT NOT NULL)",
    "CREATE TABLE pending_devices (id TEXT PRIMARY KEY, admission TEXT NOT NULL, expires_ms BIGINT "
    "NOT NULL,"
    " position BIGINT NOT NULL, record TEXT NOT NULL)",
    "CREATE INDEX pending_devices_by_expiry ON pending_devices (expires_ms)",
};

// Rows count the numbers, rather than taking the highest plus one: two simultaneous transactions
// would find the same.
constexpr const char* kVersion5[] = {
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
    "INSERT INTO counters (name, value) SELECT 'pushes', COALESCE(MAX(position), 0) FROM pushes",
    "INSERT INTO counters (name, value) SELECT 'jobs', COALESCE(MAX(position), 0) FROM jobs",
    ("INSERT INTO counters (name, value)"
     " SELECT 'artifact_models', COALESCE(MAX(position), 0) FROM artifact_models"),
    ("INSERT INTO counters (name, value)"
     " SELECT 'artifact_statements', COALESCE(MAX(position), 0) FROM artifact_statements"),
    "INSERT INTO counters (name, value) SELECT 'tokens', COALESCE(MAX(position), 0) FROM tokens",
    ("INSERT INTO counters (name, value)"
     " SELECT 'rollouts', COALESCE(MAX(position), 0) FROM rollouts"),
    ("INSERT INTO counters (name, value)"
     " SELECT 'pending_devices', COALESCE(MAX(position), 0) FROM pending_devices"),
    "ALTER TABLE rollouts ADD COLUMN revision BIGINT NOT NULL DEFAULT 0",
    ("UPDATE rollouts SET revision = (SELECT COALESCE(MAX(d.revision), 0) FROM rollout_devices d"
     " WHERE d.rollout = rollouts.name)"),
};

// Requests are forgotten, the oldest first.
constexpr const char* kVersion6[] = {
    "ALTER TABLE requests ADD COLUMN position BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX requests_by_position ON requests (position)",
};

// Versions of models. What is there of a model is its first; which of the artifacts are of it is
// told by their times (artifacts.cc).
constexpr const char* kVersion7[] = {
    "CREATE TABLE model_versions (model TEXT NOT NULL, version BIGINT NOT NULL, record TEXT NOT "
    "NULL,"
    " PRIMARY KEY (model, version))",
    "INSERT INTO model_versions (model, version, record) SELECT name, 1, record FROM models",
    "INSERT INTO counters (name, value) SELECT 'model_versions/' || name, 1 FROM models",
    "DROP TABLE models",
    "ALTER TABLE pushes ADD COLUMN version BIGINT NOT NULL DEFAULT 0",

    "CREATE TABLE artifact_versions ("
    "digest TEXT NOT NULL REFERENCES artifacts (digest) ON DELETE CASCADE, model TEXT NOT NULL,"
    " version BIGINT NOT NULL, position BIGINT NOT NULL, created_ms BIGINT NOT NULL,"
    " PRIMARY KEY (digest, model, version))",
    ("INSERT INTO artifact_versions (digest, model, version, position, created_ms)"
     " SELECT digest, model, 0, position, created_ms FROM artifact_models"),
    "DROP TABLE artifact_models",
    "CREATE INDEX artifact_versions_by_model ON artifact_versions (model, position)",
    "UPDATE counters SET name = 'artifact_versions' WHERE name = 'artifact_models'",
};

// Blobs that artifacts lack, the artifact's own digest for its manifest; and how far the check of
// all of them has come.
constexpr const char* kVersion8[] = {
    "CREATE TABLE artifact_damage ("
    "digest TEXT NOT NULL REFERENCES artifacts (digest) ON DELETE CASCADE, blob TEXT NOT NULL,"
    " found_ms BIGINT NOT NULL, PRIMARY KEY (digest, blob))",
    "CREATE INDEX artifact_damage_by_blob ON artifact_damage (blob)",
    "CREATE TABLE scrubs (name TEXT PRIMARY KEY, record TEXT NOT NULL)",
};

// Operators, and what they did. Until then an operator's certificate was all that was known of it:
// from when on each has a record is noted in `counters` (operators.cc).
constexpr const char* kVersion9[] = {
    "CREATE TABLE operators (name TEXT PRIMARY KEY, position BIGINT NOT NULL, public_key TEXT NOT "
    "NULL, code_id TEXT NOT NULL, code_hash TEXT NOT NULL, record TEXT NOT NULL)",
    "CREATE INDEX operators_by_key ON operators (public_key)",
    "CREATE INDEX operators_by_code ON operators (code_id)",
    "CREATE TABLE audit (position BIGINT PRIMARY KEY, time_ms BIGINT NOT NULL, caller TEXT NOT "
    "NULL, object TEXT NOT NULL, record TEXT NOT NULL, previous TEXT NOT NULL, digest TEXT NOT "
    "NULL)",
    "CREATE INDEX audit_by_time ON audit (time_ms, position)",
    "CREATE INDEX audit_by_caller ON audit (caller, position)",
    "CREATE INDEX audit_by_object ON audit (object, position)",
};

constexpr SchemaStep kSteps[] = {kVersion1, kVersion2, kVersion3, kVersion4, kVersion5,
                                 kVersion6, kVersion7, kVersion8, kVersion9};

}  // namespace

std::span<const SchemaStep> SchemaSteps() { return kSteps; }

}  // namespace quantfleet::daemon
