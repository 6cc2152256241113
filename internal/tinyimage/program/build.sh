#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# usage: build.sh amd64|arm64 [OUTPUT]
#
# Compiles tiny.c. One read-only segment, one page: what is shared by every
# running copy is all there is. Debian's gcc and gcc-aarch64-linux-gnu have the
# compilers under these names.
set -eu
here=$(dirname "$0")
arch=$1
output=${2:-$here/tiny_$arch}
case $arch in
amd64) cc=x86_64-linux-gnu-gcc machine="-fcf-protection=none -Wl,-z,max-page-size=4096" ;;
arm64) cc=aarch64-linux-gnu-gcc machine="-mbranch-protection=none -Wl,-z,max-page-size=65536" ;;
*) echo "build.sh: no compiler known for $arch" >&2; exit 2 ;;
esac
exec "$cc" -Os -Wall -Wextra -Werror -std=c11 -ffreestanding -fno-builtin \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fno-pie $machine \
	-static -nostdlib -no-pie -s \
	-Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,noexecstack \
	-o "$output" "$here/tiny.c"
