# Builds musl's static libraries and installs them, the headers and a compiler wrapper.
# A dependent package finds all this in /deps/musl, always: the paths in the wrapper are fixed.

tar -xf "$SRC/musl-$VERSION.tar.gz"
cd "musl-$VERSION"

# No shared library: images hold static programs only. No wrapper: ours is made for static links.
./configure --prefix="$DEPS/musl/usr" --disable-shared --disable-wrapper CC=gcc

make
make install prefix="$OUT/usr"

mkdir -p "$OUT/bin"
cp "$RECIPE/musl-gcc.specs" "$OUT/usr/lib/musl-gcc.specs"
cp "$RECIPE/musl-gcc" "$OUT/bin/musl-gcc"
chmod 0755 "$OUT/bin/musl-gcc"

mkdir -p "$OUT/usr/share/licenses/musl"
cp COPYRIGHT "$OUT/usr/share/licenses/musl/"
