# Builds the programs, and the libraries that they are made of.

tar -xf "$SRC/e2fsprogs-$VERSION.tar.gz"
mkdir build
cd build

# The libraries for UUIDs and for finding devices are its own, the host's are out of reach.
"../e2fsprogs-$VERSION/configure" --prefix=/usr --with-root-prefix=/usr --sysconfdir=/etc \
    --host="$(uname -m)-linux-musl" CC="$DEPS/musl/bin/musl-gcc" BUILD_CC=gcc CFLAGS=-O2 LDFLAGS=-s \
    PKG_CONFIG=false \
    --enable-libuuid --enable-libblkid --enable-symlink-install --enable-relative-symlinks \
    --disable-nls --disable-rpath --disable-uuidd --disable-fuse2fs \
    --with-udev-rules-dir=no --with-crond-dir=no --with-systemd-unit-dir=no

make
make install install-libs DESTDIR="$OUT" root_sysconfdir=/etc

# Not wanted: scripts for LVM, a helper for initrds, and pages made only where makeinfo is at hand.
rm -rf "$OUT"/usr/sbin/e2scrub* "$OUT"/usr/share/man/man8/e2scrub* "$OUT/etc/e2scrub.conf" \
    "$OUT/usr/lib/e2initrd_helper" "$OUT/usr/share/info"

"$DEPS/build-tools/bin/check-static" "$OUT"/usr/bin/* "$OUT"/usr/sbin/*

# NOTICE holds the GPL and the LGPL; debian/copyright, which is upstream's, has all the others.
mkdir -p "$OUT/usr/share/licenses/e2fsprogs"
cd "../e2fsprogs-$VERSION"
cp NOTICE "$OUT/usr/share/licenses/e2fsprogs/"
cp debian/copyright "$OUT/usr/share/licenses/e2fsprogs/copyright"
cp lib/uuid/COPYING "$OUT/usr/share/licenses/e2fsprogs/COPYING.uuid"
