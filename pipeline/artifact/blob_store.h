// Where blobs are kept: immutable, named by the SHA-256 of their plain bytes, each in one stored
// form (encoding.h). What a form is, when it pays and whether it is damaged is decided here, once
// for all stores; a store (folder/, and others beside it) keeps bytes and knows nothing about them
// but their names.
//
// A blob is complete and durable, or absent. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "common/base/digest.h"
#include "pipeline/artifact/encoding.h"

namespace quantfleet::pipeline {

// Reads the bytes of a range in order, each once. For one thread.
class BlobReader {
 public:
  virtual ~BlobReader() = default;
  uint64_t remaining() const { return remaining_; }
  // Fills `out` with the next bytes of the range. OUT_OF_RANGE: `out` is longer than what remains;
  // DATA_LOSS: the store has fewer bytes than it said.
  absl::Status Read(MutableBytes out);

 protected:
  explicit BlobReader(uint64_t length) : remaining_(length) {}
  virtual absl::Status ReadNext(MutableBytes out) = 0;

 private:
  uint64_t remaining_;
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  struct Stored {
    Encoding encoding;
    uint64_t stored_size;
  };

  // Encodes and stores the chunk unless it is there whole: one that is damaged, or that cannot be
  // read, is replaced. Durable on return. `digest` is the plain bytes' own. INVALID_ARGUMENT:
  // longer than a chunk may be; RESOURCE_EXHAUSTED: no room.
  absl::StatusOr<Stored> Put(const Digest& digest, ByteSpan plain, int element_bytes);
  // Plain bytes, decoded and checked against the digest. NOT_FOUND; DATA_LOSS names the blob when
  // it is damaged.
  absl::StatusOr<Bytes> Read(const Digest& digest, uint32_t plain_size) const;

  // What a check found. Neither whole nor damaged: the blob is not there.
  struct Checked {
    bool whole = false;     // there is a form that is whole
    bool damaged = false;   // a form was not: it is removed
    uint64_t bytes = 0;     // read
    std::string what = {};  // was wrong with it, for messages
  };
  // Reads every form and removes those that are damaged, so that nobody is served them any more. An
  // error: the store could not be read, which says nothing about the blob; nothing is removed.
  absl::StatusOr<Checked> Check(const Digest& digest, uint32_t plain_size);

  // The form in which the blob is stored; NOT_FOUND when there is none.
  absl::StatusOr<Stored> Stat(const Digest& digest) const;
  // How many bytes this form has; NOT_FOUND when it is not stored.
  virtual absl::StatusOr<uint64_t> Stat(const Digest& digest, Encoding encoding) const = 0;
  // Stored bytes [first, first + length) of this form. NOT_FOUND when it is not stored,
  // OUT_OF_RANGE when it ends before the range does.
  virtual absl::StatusOr<std::unique_ptr<BlobReader>> OpenRange(const Digest& digest,
                                                                Encoding encoding, uint64_t first,
                                                                uint64_t length) const = 0;
  // Each stored form of each blob, in any order; ends with the first error of `visit`, which may
  // remove the blob that it is shown. Anything that does not have a blob's name is skipped.
  virtual absl::Status List(
      const std::function<absl::Status(const Digest&, const Stored&)>& visit) const = 0;
  // All forms; absent is OK.
  absl::Status Remove(const Digest& digest);
  // Removes what a killed process left half written. Call it only while nobody else writes into
  // this store.
  virtual absl::Status RemoveTemporaries() { return absl::OkStatus(); }

  // ---- what the calls above rest on; for stores, and for stores in front of others
  // Stores one form, durable on return; the same bytes may be there or come at the same time.
  virtual absl::Status PutForm(const Digest& digest, Encoding encoding, ByteSpan stored) = 0;
  // A form that is there already is durable on return, even if another thread has only begun to
  // sync it.
  virtual absl::Status Settle(const Digest& digest, Encoding encoding) = 0;
  virtual absl::Status RemoveForm(const Digest& digest, Encoding encoding) = 0;  // absent is OK
  // For messages: where an operator finds the store, and one form of a blob.
  virtual std::string Name() const = 0;
  virtual std::string NameOf(const Digest& digest, Encoding encoding) const = 0;

 private:
  absl::StatusOr<Bytes> DecodeForm(const Digest& digest, const Stored& stored,
                                   uint32_t plain_size) const;
  absl::StatusOr<Bytes> ReadForm(const Digest& digest, const Stored& stored,
                                 uint32_t plain_size) const;
  absl::StatusOr<uint64_t> CheckForm(const Digest& digest, Encoding encoding,
                                     uint32_t plain_size) const;
  std::mutex& LockOf(const Digest& digest);

  // What Put has found whole or stored, Check does not remove: who changes a blob holds its lock.
  std::array<std::mutex, 64> locks_;
};

}  // namespace quantfleet::pipeline
