# Debian's cross compiler against the sysroot that deploy/aarch64-sysroot.sh makes (or QUANTFLEET_SYSROOT); what it builds is
# run by qemu-aarch64, whose CPU the variable QEMU_CPU chooses. Programs that the build itself runs are the host's own.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(QUANTFLEET_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../../build/aarch64-sysroot CACHE PATH "What the device has installed")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES QUANTFLEET_SYSROOT)
get_filename_component(CMAKE_SYSROOT ${QUANTFLEET_SYSROOT} ABSOLUTE)
if(NOT EXISTS ${CMAKE_SYSROOT}/usr/include/grpcpp)
  message(FATAL_ERROR "${CMAKE_SYSROOT} is no sysroot: run deploy/aarch64-sysroot.sh first")
endif()

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)

find_program(QUANTFLEET_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(QUANTFLEET_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${QUANTFLEET_QEMU} -L ${CMAKE_SYSROOT})
endif()
