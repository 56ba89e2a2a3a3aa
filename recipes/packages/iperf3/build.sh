# Builds iperf3 and libiperf.a.

tar -xf "$SRC/iperf-$VERSION.tar.gz"
cd "iperf-$VERSION"
patch -p1 <"$PATCHES"

./configure --prefix=/usr --host="$(uname -m)-linux-musl" CC="$DEPS/musl/bin/musl-gcc" CFLAGS=-O2 LDFLAGS=-s \
    --disable-dependency-tracking --disable-shared --without-openssl --without-sctp

make

"$DEPS/build-tools/bin/check-static" src/iperf3

make install DESTDIR="$OUT"

# It is for libtool, which has nothing to add to a static library.
rm -f "$OUT/usr/lib/libiperf.la"

mkdir -p "$OUT/usr/share/licenses/iperf3"
cp LICENSE "$OUT/usr/share/licenses/iperf3/"
