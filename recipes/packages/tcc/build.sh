# Builds the compiler and its runtime library, which the new compiler compiles itself.

mkdir tcc
cd tcc
tar -xf "$SRC/tcc_$VERSION.orig.tar.bz2"
patch -p1 <"$PATCHES"

# All the paths are an image's; {B} is /usr/lib/tcc.
./configure --prefix=/usr --cc="$DEPS/musl/bin/musl-gcc" --config-musl \
    --sysincludepaths="{B}/include:/usr/include:/include" \
    --libpaths="/usr/lib:/lib:{B}" --crtprefix="/usr/lib:/lib"

make tcc libtcc.a
make libtcc1.a XFLAGS-unx="-B.. -nostdinc -I../include -I$DEPS/musl/usr/include"

# The new compiler must be able to make a program out of what will be in an image.
cat >hello.c <<'END'
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) { return printf("%s %.3f\n", "hello", sqrt(atof(argv[1]))) != 12; }
END
crt="$DEPS/musl/usr/lib"
./tcc -B. -nostdinc -Iinclude -I"$DEPS/musl/usr/include" -nostdlib -o hello \
    "$crt/crt1.o" "$crt/crti.o" hello.c "$crt/libc.a" libtcc1.a "$crt/crtn.o"
[ "$(./hello 2)" = "hello 1.414" ] || { echo "tcc: makes programs that do not work" >&2; exit 1; }

"$DEPS/build-tools/bin/check-static" tcc hello

make install DESTDIR="$OUT"

mkdir -p "$OUT/usr/share/licenses/tcc"
cp COPYING RELICENSING "$OUT/usr/share/licenses/tcc/"
