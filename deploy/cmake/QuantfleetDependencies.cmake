# The libraries that quantfleet stands on: Debian 12's packages, nothing downloaded.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Protobuf 3.21 REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)

pkg_check_modules(grpcpp REQUIRED IMPORTED_TARGET grpc++)
pkg_check_modules(absl REQUIRED IMPORTED_TARGET absl_statusor absl_status)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(prometheus REQUIRED IMPORTED_TARGET prometheus-cpp-core)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(re2 REQUIRED IMPORTED_TARGET re2)
pkg_check_modules(pugixml REQUIRED IMPORTED_TARGET pugixml)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)

find_program(QUANTFLEET_PROTOC protoc REQUIRED)
find_program(QUANTFLEET_GRPC_PLUGIN grpc_cpp_plugin REQUIRED)
find_library(QUANTFLEET_GRPC_REFLECTION grpc++_reflection REQUIRED)

find_library(QUANTFLEET_SOCI_CORE soci_core REQUIRED)
find_library(QUANTFLEET_SOCI_SQLITE soci_sqlite3 REQUIRED)
add_library(qf_soci INTERFACE)
target_link_libraries(qf_soci INTERFACE ${QUANTFLEET_SOCI_SQLITE} ${QUANTFLEET_SOCI_CORE} sqlite3)

if(QUANTFLEET_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
