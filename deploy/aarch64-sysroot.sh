#!/usr/bin/env bash
# Makes a sysroot of arm64 Debian packages: the libraries that quantfleet links, for the aarch64 preset and for qemu-user.
#
# usage: deploy/aarch64-sysroot.sh [DIR]
#   DIR  default build/aarch64-sysroot; rebuilt when the list of packages changes, otherwise left unchanged
# Exit code: 0 if the sysroot exists, 77 if the packages cannot be downloaded, 1 for any other error. Does not need root and
# does not change the machine's package database or architectures: apt uses folders of its own beside DIR.
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
: >"$apt/status" # nothing is installed, so apt lists everything that the packages need
as_arm64=(-o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
  -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=
  -o Acquire::Languages=none -o Acquire::Retries=2 -o DPkg::Post-Invoke= -o APT::Update::Post-Invoke=)

say "downloading the package lists"
apt-get "${as_arm64[@]}" -qq update || say "some package sources did not answer"
say "downloading the packages"
if ! apt-get "${as_arm64[@]}" -qq -y --no-install-recommends --download-only install "${packages[@]}" >/dev/null; then
  say "cannot download the arm64 packages: check the network, and that the machine's package sources serve arm64"
  exit 77
fi

# Built in a temporary folder and moved into place, so that an incomplete one is never mistaken for a sysroot.
new=$sysroot.new
rm -rf "$new"
mkdir -p "$new/usr/lib" "$new/usr/bin" "$new/usr/sbin"
ln -s usr/lib usr/bin usr/sbin "$new"
for package in "$apt"/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" |
    tar -x -C "$new" --keep-directory-symlink --no-same-owner --exclude='./usr/share/doc' --exclude='./usr/share/man' \
      --exclude='./usr/share/locale' --exclude='./etc' --exclude='./var'
done
# Absolute links must point into the sysroot.
find "$new" -type l -lname '/*' -printf '%p\t%l\n' | while IFS=$'\t' read -r link target; do
  ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$new$target")" "$link"
done
printf '%s' "$wanted" >"$new/.packages"
rm -rf "$sysroot"
mv "$new" "$sysroot"
rm -rf "$apt"
say "$sysroot: $(du -sh "$sysroot" | cut -f1)"
