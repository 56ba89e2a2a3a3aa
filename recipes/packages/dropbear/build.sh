# Builds dropbearmulti, which is server, client, key maker and scp by the name that it is called by.

tar -xf "$SRC/dropbear-$VERSION.tar.bz2"
cd "dropbear-$VERSION"
tar -xf "$SRC/$NAME-debian.tar.xz"
sed 's/[ \t]*#.*//; /^$/d' debian/patches/series | while read -r name options; do
    patch -p1 <"debian/patches/$name"
done

# musl has no records of who is logged in. Its own libtom* are built in, whatever the host has.
./configure --prefix=/usr --host="$(uname -m)-linux-musl" CC="$DEPS/musl/bin/musl-gcc" CFLAGS=-O2 LDFLAGS=-s \
    --enable-static --enable-bundled-libtom --disable-zlib --disable-pam \
    --disable-lastlog --disable-utmp --disable-utmpx --disable-wtmp --disable-wtmpx \
    --disable-pututline --disable-pututxline

# configure says nothing that would stop a build when there is no crypt().
grep -q '^#define HAVE_CRYPT 1' config.h || { echo "dropbear: no crypt(), so no passwords" >&2; exit 1; }

programs="dropbear dbclient dropbearkey dropbearconvert scp"
make PROGRAMS="$programs" MULTI=1 SCPPROGRESS=1

"$DEPS/build-tools/bin/check-static" dropbearmulti

make install DESTDIR="$OUT" PROGRAMS="$programs" MULTI=1
mkdir -p "$OUT/etc/dropbear"

mkdir -p "$OUT/usr/share/licenses/dropbear"
cp LICENSE "$OUT/usr/share/licenses/dropbear/"
cp libtomcrypt/LICENSE "$OUT/usr/share/licenses/dropbear/LICENSE.libtomcrypt"
cp libtommath/LICENSE "$OUT/usr/share/licenses/dropbear/LICENSE.libtommath"
