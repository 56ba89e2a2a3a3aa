# Builds libz.a and installs it with its headers.

tar -xf "$SRC/zlib_$VERSION.dfsg.orig.tar.bz2"
cd "zlib-$VERSION.dfsg"

# configure takes the compiler from the environment, and asks the machine for its name.
CC="$DEPS/musl/bin/musl-gcc" CFLAGS=-O2 ./configure --static --prefix=/usr

make libz.a
make install DESTDIR="$OUT"

# A shared library has no loader in an image.
if [ -n "$(find "$OUT" -name 'libz.so*')" ]; then
    echo "zlib: made a shared library, so it is not static" >&2
    exit 1
fi

mkdir -p "$OUT/usr/share/licenses/zlib"
cp LICENSE "$OUT/usr/share/licenses/zlib/"
