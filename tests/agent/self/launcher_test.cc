#include "agent/self/launcher.h"

#include <gmock/gmock.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

const Digest kOne = HashText("one"), kTwo = HashText("two");
const fs::path kInstalled = "/usr/bin/quantfleet-agent", kSlotA = "/state/slots/a/agent",
               kSlotB = "/state/slots/b/agent";

// A device that holds release one (1.0.0) in slot a and release two (2.0.0) in slot b.
LaunchFacts From(const fs::path& self, const std::string& version = "0.5.0") {
  return {.self = self,
          .in_slot = self != kInstalled,
          .version = version,
          .find = [](const Digest& manifest) {
            if (manifest == kOne) return std::optional(SlotProgram{kSlotA, "1.0.0"});
            if (manifest == kTwo) return std::optional(SlotProgram{kSlotB, "2.0.0"});
            return std::optional<SlotProgram>();
          }};
}

TEST(Launcher, WithoutAReleaseTheInstalledProgramGoesOn) {
  const Launch launch = Decide({}, From(kInstalled));
  EXPECT_FALSE(launch.program);
  EXPECT_EQ(launch.record.installed, kInstalled);
}

TEST(Launcher, AProvenReleaseThatLivesIsStartedForEver) {
  LaunchRecord record{.program = kOne, .proven = true, .installed = kInstalled};
  for (int i = 0; i < 100; ++i) {
    const Launch launch = Decide(record, From(kInstalled));
    EXPECT_EQ(launch.program, kSlotA);
    EXPECT_EQ(launch.record.attempts, 1u);
    record = launch.record;
    record.attempts = 0;  // SelfHost::Lives
  }
}

TEST(Launcher, AProvenReleaseThatDiesAtEachStartIsGivenUpForTheOneBefore) {
  LaunchRecord record{.program = kTwo, .proven = true, .previous = kOne, .installed = kInstalled};
  for (uint32_t start = 1; start <= kMaxProvenStarts; ++start) {
    const Launch launch = Decide(record, From(kInstalled));
    ASSERT_EQ(launch.program, kSlotB);
    record = launch.record;
  }
  const Launch back = Decide(record, From(kInstalled));
  EXPECT_EQ(back.program, kSlotA);
  EXPECT_EQ(back.record, (LaunchRecord{.program = kOne,
                                       .proven = true,
                                       .attempts = 1,
                                       .given_up = kTwo,
                                       .given_up_after = kMaxProvenStarts,
                                       .installed = kInstalled}));
}

TEST(Launcher, AProgramThatWasStartedNeverStartsItselfAgain) {
  for (const uint32_t attempts : {0u, 1u, kMaxStarts, kMaxStarts + 7}) {
    const LaunchRecord record{.program = kTwo, .attempts = attempts, .installed = kInstalled};
    const Launch launch = Decide(record, From(kSlotB));
    EXPECT_FALSE(launch.program);
    EXPECT_EQ(launch.record, record);  // nor does it count
  }
}

TEST(Launcher, AnUnprovenReleaseIsStartedThreeTimesAndThenGivenUp) {
  LaunchRecord record{.program = kTwo, .previous = kOne, .installed = kInstalled};
  for (uint32_t start = 1; start <= kMaxStarts; ++start) {
    const Launch launch = Decide(record, From(kInstalled));
    EXPECT_EQ(launch.program, kSlotB);
    EXPECT_EQ(launch.record.attempts, start);
    record = launch.record;
  }
  const Launch back = Decide(record, From(kInstalled));
  EXPECT_EQ(back.program, kSlotA);
  EXPECT_EQ(back.record, (LaunchRecord{.program = kOne,
                                       .proven = true,
                                       .attempts = 1,
                                       .given_up = kTwo,
                                       .given_up_after = kMaxStarts,
                                       .installed = kInstalled}));
  // There was none before it: the installed program.
  record.previous.reset();
  const Launch home = Decide(record, From(kInstalled));
  EXPECT_FALSE(home.program);
  EXPECT_EQ(
      home.record,
      (LaunchRecord{.given_up = kTwo, .given_up_after = kMaxStarts, .installed = kInstalled}));
}

TEST(Launcher, TheRunningReleaseBecomesTheNextOne) {
  const Launch launch =
      Decide({.program = kTwo, .previous = kOne, .installed = kInstalled}, From(kSlotA, "1.0.0"));
  EXPECT_EQ(launch.program, kSlotB);
  EXPECT_EQ(launch.record.attempts, 1u);
  EXPECT_EQ(launch.record.installed, kInstalled);  // not the slot's
}

TEST(Launcher, AReleaseThatIsTakenBackBecomesTheInstalledProgram) {
  EXPECT_EQ(Decide({.installed = kInstalled}, From(kSlotA)).program, kInstalled);
  EXPECT_FALSE(Decide({}, From(kSlotA)).program);  // where that is not known it goes on
}

TEST(Launcher, ANewerInstalledProgramWinsAndAnEqualOneDoesNot) {
  const LaunchRecord record{.program = kOne, .proven = true, .installed = kInstalled};
  EXPECT_FALSE(Decide(record, From(kInstalled, "1.0.1")).program);
  EXPECT_EQ(Decide(record, From(kInstalled, "1.0.1")).record, record);
  EXPECT_EQ(Decide(record, From(kInstalled, "1.0.0")).program, kSlotA);
  EXPECT_EQ(Decide(record, From(kInstalled, "no version")).program, kSlotA);
}

TEST(Launcher, AReleaseThatIsNotHereAnyMoreIsNotCalledGivenUp) {
  const LaunchRecord record{.program = HashText("gone"), .previous = kOne, .installed = kInstalled};
  const Launch launch = Decide(record, From(kInstalled));
  EXPECT_EQ(launch.program, kSlotA);
  EXPECT_FALSE(launch.record.given_up);
}

// Whatever the record holds, becoming what is said ends: nobody is sent on twice.
TEST(Launcher, WhereverItBeginsItEnds) {
  const std::optional<Digest> releases[] = {std::nullopt, kOne, kTwo, HashText("gone")};
  for (const auto& program : releases)
    for (const auto& previous : releases)
      for (const bool proven : {false, true})
        for (uint32_t attempts = 0; attempts <= kMaxProvenStarts; ++attempts)
          for (const fs::path& start : {kInstalled, kSlotA, kSlotB}) {
            LaunchRecord record{.program = program,
                                .proven = proven,
                                .attempts = attempts,
                                .previous = previous,
                                .installed = kInstalled};
            const Launch first = Decide(record, From(start));
            if (!first.program) continue;
            const Launch second = Decide(first.record, From(*first.program));
            EXPECT_FALSE(second.program)
                << start << " to " << *first.program << " to " << *second.program;
          }
}

TEST(Launcher, WhatStandsInASlotIsToldByItsPath) {
  const testing::TempDir dir;
  fs::create_directories(dir / "slots/a/files");
  const fs::path folder = fs::canonical(dir.path());
  EXPECT_TRUE(IsInSlot(folder / "slots/a/files/quantfleet-agent", folder));
  EXPECT_TRUE(IsInSlot(folder / "slots/a/files/quantfleet-agent (deleted)", folder));
  EXPECT_FALSE(IsInSlot(folder / "slotsmith/quantfleet-agent", folder));
  EXPECT_FALSE(IsInSlot(kInstalled, folder));
}

TEST(LaunchRecord, IsReadAsItWasWritten) {
  const testing::TempDir dir;
  EXPECT_EQ(*LoadLaunchRecord(RealFileSystem(), dir.path()), LaunchRecord{});
  const LaunchRecord record{.program = kTwo,
                            .proven = true,
                            .attempts = 2,
                            .previous = kOne,
                            .given_up = HashText("x"),
                            .given_up_after = 7,
                            .installed = kInstalled};
  ASSERT_OK(SaveLaunchRecord(RealFileSystem(), dir.path(), record));
  EXPECT_EQ(*LoadLaunchRecord(RealFileSystem(), dir.path()), record);
  ASSERT_OK(RealFileSystem().WriteAtomically(dir / "launch.json",
                                             AsBytes(std::string_view(R"({"program": "zz"})"))));
  EXPECT_FALSE(LoadLaunchRecord(RealFileSystem(), dir.path()).ok());
}

}  // namespace
}  // namespace quantfleet::agent
