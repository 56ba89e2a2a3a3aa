# Builds strace for programs of the machine's own kind, without stack traces.

tar -xf "$SRC/strace-$VERSION.tar.xz"
cd "strace-$VERSION"

# The kernel's headers are the ones that strace brings, so it decodes the same on every host; only
# what asm/ has comes from linux-headers.
./configure --prefix=/usr --host="$(uname -m)-linux-musl" \
    CC="$DEPS/musl/bin/musl-gcc" CC_FOR_BUILD=gcc CFLAGS=-O2 LDFLAGS=-s \
    --disable-dependency-tracking --disable-gcc-Werror --enable-bundled=yes --enable-mpers=no \
    --enable-stacktrace=no --without-libselinux

make

"$DEPS/build-tools/bin/check-static" src/strace

make install DESTDIR="$OUT"

# It is a program in Perl, which no image has.
rm -f "$OUT/usr/bin/strace-log-merge" "$OUT/usr/share/man/man1/strace-log-merge.1"

mkdir -p "$OUT/usr/share/licenses/strace"
cp COPYING LGPL-2.1-or-later "$OUT/usr/share/licenses/strace/"
