#!/usr/bin/env bash
# Makes a sysroot of arm64 Debian packages: the libraries that quantfleet links, for the preset aarch64 and for qemu-user.
#
# usage: deploy/aarch64-sysroot.sh [DIR]
#   DIR  default build/aarch64-sysroot; made anew when the wanted packages change, else left as it is
# Exit code 0 when it is there, 77 when the packages cannot be had, 1 for anything else. The machine's own package database
# and its architectures stay as they are: apt gets folders of its own beside DIR, and the machine's list of sources. No root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1:-}" in
  -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
sysroot=$(realpath -m "${1:-build/aarch64-sysroot}")
say() { echo "aarch64-sysroot: $*" >&2; }

mapfile -t packages < <(deploy/install-deps.sh --print-libraries)
stamp=$sysroot/.packages
wanted="${packages[*]}"
if [[ -e $stamp && $(<"$stamp") == "$wanted" ]]; then exit 0; fi

apt=$sysroot.apt
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status" # nothing is installed: apt then names everything that the packages need
as_arm64=(-o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
  -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=
  -o Acquire::Languages=none -o Acquire::Retries=2 -o DPkg::Post-Invoke= -o APT::Update::Post-Invoke=)

say "fetching the packages' lists"
apt-get "${as_arm64[@]}" -qq update || say "not every source of packages answered"
say "fetching the packages"
if ! apt-get "${as_arm64[@]}" -qq -y --no-install-recommends --download-only install "${packages[@]}" >/dev/null; then
  say "the arm64 packages cannot be had: is there a network, and do the machine's sources serve arm64?"
  exit 77
fi

# Built beside its place and moved there whole: what is half done is never taken for a sysroot.
new=$sysroot.new
rm -rf "$new"
mkdir -p "$new/usr/lib" "$new/usr/bin" "$new/usr/sbin"
ln -s usr/lib usr/bin usr/sbin "$new"
for package in "$apt"/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" |
    tar -x -C "$new" --keep-directory-symlink --no-same-owner --exclude='./usr/share/doc' --exclude='./usr/share/man' \
      --exclude='./usr/share/locale' --exclude='./etc' --exclude='./var'
done
# Links that begin at the root of a device begin at the sysroot's here.
find "$new" -type l -lname '/*' -printf '%p\t%l\n' | while IFS=$'\t' read -r link target; do
  ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$new$target")" "$link"
done
printf '%s' "$wanted" >"$new/.packages"
rm -rf "$sysroot"
mv "$new" "$sysroot"
rm -rf "$apt"
say "$sysroot: $(du -sh "$sysroot" | cut -f1)"
