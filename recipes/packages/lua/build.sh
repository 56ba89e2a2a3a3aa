# Builds lua, luac and liblua.a.

tar -xf "$SRC/lua-$VERSION.tar.gz"
cd "lua-$VERSION"
# Debian's own way of building is not ours.
tar -xf "$SRC/$NAME-debian.tar.xz"
grep -i cve debian/patches/series | while read -r name options; do
    patch -p1 <"debian/patches/$name"
done

# Where require looks for modules: the header is the place to say so, it is installed as well.
sed -i 's|"/usr/local/"|"/usr/"|' src/luaconf.h
grep -q 'LUA_ROOT.*"/usr/"' src/luaconf.h || { echo "lua: luaconf.h has no LUA_ROOT to change" >&2; exit 1; }

# POSIX brings io.popen, os.tmpname and the like; no dlopen, no readline.
make generic CC="$DEPS/musl/bin/musl-gcc" MYCFLAGS=-DLUA_USE_POSIX MYLDFLAGS=-s

"$DEPS/build-tools/bin/check-static" src/lua src/luac

make install INSTALL_TOP="$OUT/usr" INSTALL_MAN="$OUT/usr/share/man/man1"
rmdir "$OUT/usr/lib/lua/5.4" "$OUT/usr/lib/lua"

# The licence is the end of lua.h.
mkdir -p "$OUT/usr/share/licenses/lua"
sed -n '/^\* Copyright (C)/,/^\*\*\*/p' src/lua.h | sed '/^\*\*\*/d; s/^\* \{0,1\}//' \
    >"$OUT/usr/share/licenses/lua/LICENSE"
grep -q "Permission is hereby granted" "$OUT/usr/share/licenses/lua/LICENSE" ||
    { echo "lua: lua.h does not end with the licence" >&2; exit 1; }
