# How every target of quantfleet is made: one static library per folder, whose link list is the dependency graph.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

option(QUANTFLEET_TESTS "Build the tests" ON)
option(QUANTFLEET_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
set(QUANTFLEET_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")

find_program(QUANTFLEET_CCACHE ccache)
if(QUANTFLEET_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${QUANTFLEET_CCACHE})
endif()

# GNU ld takes four times as long over a binary. Each compiler has its own, since gold warns of every symbol of clang's
# sanitizers.
set(QUANTFLEET_LINKER gold)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  set(QUANTFLEET_LINKER lld)
endif()
include(CheckLinkerFlag)
check_linker_flag(CXX -fuse-ld=${QUANTFLEET_LINKER} QUANTFLEET_HAS_LINKER)
if(QUANTFLEET_HAS_LINKER)
  add_link_options(-fuse-ld=${QUANTFLEET_LINKER})
endif()

add_library(qf_options INTERFACE)
target_include_directories(qf_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(qf_options INTERFACE -Wall -Wextra -Wpedantic -Werror
  $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local>)  # clang has no such level
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
  # Its baseline has fused multiply-add, which a compiler takes unasked; x86-64's has not. A fused one rounds once, so bytes
  # and sums would hang on the machine (docs/decisions/0022).
  target_compile_options(qf_options INTERFACE -ffp-contract=off)
endif()
# What makes a fault in memory harder to use (tests/e2e/test_binaries.py reads it off the programs). Not with sanitizers, whose
# checks say more; and no _FORTIFY_SOURCE without optimization, which glibc warns of. Measured: docs/measured.md.
if(NOT QUANTFLEET_SANITIZE)
  target_compile_options(qf_options INTERFACE -fstack-protector-strong -fstack-clash-protection
    $<$<AND:$<CONFIG:Release>,$<NOT:$<BOOL:$<TARGET_PROPERTY:QUANTFLEET_UNOPTIMIZED>>>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>)
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
    target_compile_options(qf_options INTERFACE -mbranch-protection=standard)
  else()
    target_compile_options(qf_options INTERFACE -fcf-protection=full)
  endif()
  add_link_options(-Wl,-z,relro,-z,now)
endif()
# No folder of whoever built it in what is shipped (__FILE__, debug information).
add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
# The same defines everywhere: a Boost.Asio type that two files see differently is undefined behaviour.
target_compile_definitions(qf_options INTERFACE BOOST_ASIO_NO_DEPRECATED QUANTFLEET_VERSION="${PROJECT_VERSION}")

if(QUANTFLEET_SANITIZE)
  add_compile_options(-fsanitize=${QUANTFLEET_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${QUANTFLEET_SANITIZE})
  add_compile_definitions(QUANTFLEET_SANITIZED)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12 reports these falsely once a sanitizer's checks stand between a value and its use.
    add_compile_options(-Wno-maybe-uninitialized -Wno-error=restrict -Wno-stringop-overflow -Wno-array-bounds)
  endif()
endif()
if(QUANTFLEET_SANITIZE MATCHES "thread")
  # ThreadSanitizer knows locks and atomics, but not the bare fences that Asio sets around handlers.
  add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()
if(QUANTFLEET_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# quantfleet_library(NAME [DIR folder] [APART regex] LINK target...): the .cc files of a folder (this one, if none is named), but
# for main.cc, as the static library NAME. LINK is all that the folder may include, and what whoever links NAME gets with it.
#
# Everything is compiled with the flags of its preset (CMakePresets.json). Measured: -O1 for the folders that mostly wait for the
# network or the disk saves a fifth of their own time, which is seconds of a cold build, and is not worth a second set of flags.
#
# A unity build, which CMakePresets.json asks for, compiles a folder as one file: the headers of gRPC, Asio and Beast take 6 to
# 11 s each, and are read once. APART names files, by what stands before .cc, that are compiled on their own all the same; where
# it is used, it says why.
function(quantfleet_library name)
  cmake_parse_arguments(ARG "" "DIR;APART" "LINK" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "quantfleet_library(${name}): what is ${ARG_UNPARSED_ARGUMENTS}?")
  endif()
  if(NOT ARG_DIR)
    set(ARG_DIR ${CMAKE_CURRENT_SOURCE_DIR})
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${ARG_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  set_property(GLOBAL APPEND PROPERTY QUANTFLEET_ROOMS ${name})
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${ARG_DIR})
  set_property(GLOBAL PROPERTY QUANTFLEET_ROOM_${name} ${folder})
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC qf_options ${ARG_LINK})
  else()  # headers alone
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE qf_options ${ARG_LINK})
  endif()
  if(ARG_APART)
    list(FILTER sources INCLUDE REGEX "/(${ARG_APART})\\.cc$")
    set_source_files_properties(${sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
endfunction()

# quantfleet_write_rooms(FILE): a line for each library, NAME|FOLDER|LINKED;LINKED..., for tests/lint/include_arrows.py. Called
# when all have been declared.
function(quantfleet_write_rooms file)
  get_property(rooms GLOBAL PROPERTY QUANTFLEET_ROOMS)
  set(text "")
  foreach(name IN LISTS rooms)
    get_property(folder GLOBAL PROPERTY QUANTFLEET_ROOM_${name})
    get_target_property(kind ${name} TYPE)
    set(linked "")
    foreach(property INTERFACE_LINK_LIBRARIES LINK_LIBRARIES)
      if(property STREQUAL "LINK_LIBRARIES" AND kind STREQUAL "INTERFACE_LIBRARY")
        continue()
      endif()
      get_target_property(libraries ${name} ${property})
      if(libraries)
        list(APPEND linked ${libraries})
      endif()
    endforeach()
    list(FILTER linked EXCLUDE REGEX "LINK_ONLY")
    list(REMOVE_DUPLICATES linked)
    string(APPEND text "${name}|${folder}|${linked}\n")
  endforeach()
  file(WRITE ${file} "${text}")
endfunction()

# quantfleet_test(NAME DIR folder LINK target...): every *_test.cc of that folder as one GoogleTest binary.
function(quantfleet_test name)
  cmake_parse_arguments(ARG "" "DIR" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${ARG_DIR}/*_test.cc)
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE qf_options ${ARG_LINK} qf_test_support GTest::gmock GTest::gtest_main)
  # The libraries under test are built as they are shipped; the tests themselves need not be fast, but quick to build.
  set_property(TARGET ${name} PROPERTY QUANTFLEET_UNOPTIMIZED ON)
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O0>)
  target_compile_definitions(${name} PRIVATE
    QUANTFLEET_SOURCE_DIR="${PROJECT_SOURCE_DIR}" QUANTFLEET_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 300 LABELS ${name})
endfunction()

# quantfleet_fuzzer(NAME SOURCE LINK target...): one libFuzzer target.
function(quantfleet_fuzzer name source)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE qf_options ${ARG_LINK})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endfunction()
